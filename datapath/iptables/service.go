package iptables

// serviceNames are the service names that options may give in place of a port, from IANA's registry as common systems spell
// it. Rules are printed with numbers, so this list serves input written by hand only.
var serviceNames = map[string]uint16{
	"amqp": 5672, "amqps": 5671, "auth": 113, "bacula-dir": 9101, "bacula-fd": 9102, "bacula-sd": 9103, "bgp": 179,
	"bgpd": 2605, "biff": 512, "bootpc": 68, "bootps": 67, "cfengine": 5308, "chargen": 19, "cvspserver": 2401,
	"daytime": 13, "dict": 2628, "discard": 9, "distcc": 3632, "domain": 53, "domain-s": 853, "echo": 7, "epmd": 4369,
	"exec": 512, "finger": 79, "ftp": 21, "ftp-data": 20, "ftps": 990, "ftps-data": 989, "git": 9418, "gopher": 70,
	"gsiftp": 2811, "http": 80, "http-alt": 8080, "https": 443, "ident": 113, "imap": 143, "imap2": 143, "imaps": 993,
	"ipp": 631, "ipsec-nat-t": 4500, "ircd": 6667, "isakmp": 500, "isisd": 2608, "kerberos": 88, "klogin": 543,
	"kpasswd": 464, "kshell": 544, "l2f": 1701, "ldap": 389, "ldaps": 636, "login": 513, "mdns": 5353,
	"microsoft-ds": 445, "ms-sql-m": 1434, "ms-sql-s": 1433, "munin": 4949, "mysql": 3306, "netbios-dgm": 138,
	"netbios-ns": 137, "netbios-ssn": 139, "nfs": 2049, "nntp": 119, "nntps": 563, "ntalk": 518, "ntp": 123,
	"nut": 3493, "openvpn": 1194, "ospfd": 2604, "pop3": 110, "pop3s": 995, "postgresql": 5432, "printer": 515,
	"qmqp": 628, "qmtp": 209, "qotd": 17, "radius": 1812, "radius-acct": 1813, "redis": 6379, "ripd": 2602,
	"route": 520, "rsync": 873, "rtsp": 554, "shell": 514, "sip": 5060, "sip-tls": 5061, "smtp": 25, "snmp": 161,
	"snmp-trap": 162, "snpp": 444, "socks": 1080, "ssh": 22, "submission": 587, "submissions": 465, "sunrpc": 111,
	"svn": 3690, "syslog": 514, "tacacs": 49, "talk": 517, "telnet": 23, "tftp": 69, "time": 37, "webcache": 8080,
	"who": 513, "whois": 43, "x11": 6000, "xdmcp": 177, "xmpp-client": 5222, "xmpp-server": 5269, "z3950": 210,
	"zabbix-agent": 10050, "zabbix-trapper": 10051, "zebra": 2601,
}
