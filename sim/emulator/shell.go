package emulator

import (
	"net/netip"
	"os"
)

// Shell is a program that a person uses in a network namespace whose only way out is the emulated node: it is a Pod of its own.
type Shell struct {
	Argv []string
	Dir  string
	Env  []string
	// Stdio are its standard input, output and error. With Terminal, they are a person's terminal.
	Stdio    [3]*os.File
	Terminal bool
	// From says who it is, as Options.From does.
	From string
	// Remove names a file that is to be gone when this process is, even by SIGKILL: the socket of a control that is about to be made.
	Remove string
	// Ready is called when the namespace stands, before the program starts; its error ends everything. Nil for nothing.
	Ready func(addrs []netip.Addr) error
}

// ShellInterface is the interface by which a shell's packets leave.
const ShellInterface = "eth0"
