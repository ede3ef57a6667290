package box

import "time"

// Where a kernel of its own and the box around it meet.
const (
	umlName  = "svclab-uml"     // the first argument by which the program knows that it is such a kernel's init
	umlReady = "svclab ready\n" // the last line on the console before frames
	umlInbox = "/run/host/in"   // inside: the box's folder of large requests
)

// umlStartTimeout bounds the time from exec to the first answer of a kernel of its own: it takes some 3 s when idle.
const umlStartTimeout = 90 * time.Second

// defaultUMLMiB is enough for 10,000 Services in iptables and IPVS.
const defaultUMLMiB = 512
