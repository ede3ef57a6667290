// Package box runs part of the program inside namespaces that have no name and leave nothing behind.
//
// Start re-executes the program itself as PID 1 of new mount, pid, ipc, uts and network namespaces, and of a new user
// namespace when it is not privileged. The role that Config names is then served there, over an inherited socket:
//
//	parent                          child (PID 1 of its own pid namespace)
//	Start ── fork, exec self ─────> Init: read the handshake from the lifeline pipe
//	      ── handshake ───────────> look: is this network namespace another than the parent's? else refuse
//	                                private mounts: /proc, tmpfs on /run and /tmp
//	Call, Stream ── frames ───────> the role's handlers
//	(dies) ── end of file ────────> exit; the kernel kills every process of the pid namespace
//
// The bargain: the parent's death, however sudden, ends the box. PDEATHSIG is set but not relied on: it is lost when the
// parent dies between clone and prctl. The lifeline is not: its writing end closes with the parent, and the child does
// nothing before it has read from it. Namespaces are held by threads and file descriptors of the child alone, never by a
// bind mount or a name under /run/netns, so the kernel takes them down, with links, rules and mounts, once the child is gone.
//
// A box may hold a kernel of its own (Config.UML): User Mode Linux, a process of the box, so that it ends with it. Its root is the
// box's file tree, read-only (hostfs), its init this program, which mounts tmpfs where tools write, loads modules and serves the
// role on a serial line that is a socket of the box's first process:
//
//	parent ── frames ── box, PID 1 ── frames ── ttyS0 of the kernel inside ── its PID 1, the role
//
// What is typed on that line goes byte by byte: large requests are files in a folder that both see.
//
// A box may be a place for a person: Namespace.TUN makes an interface whose packets are read and written by whoever has the file, Pass
// and Receive hand that file to the parent, Inside.Resolver gives programs another /etc/resolv.conf, Namespace.Session runs one of them
// on files of the parent (Config.Files) or on a Terminal. Where something of the parent's must go with it, such as a socket's file, the
// box outlives it for a moment (Config.Last) and does that (Inside.AtEnd).
//
// Netlink sockets, xtables tools and sysctl files are opened only after the calling thread's network namespace was compared
// with the parent's (nsfs inode): a ForeignNamespaceError is the answer when they are the same.
//
// What it does not do: limit processor time or memory, hide the file system (it is the host's, as the caller sees it), or
// keep the kernel from loading modules by itself when a rule first needs one, as it does for any iptables call.
package box
