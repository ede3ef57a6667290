package box

import "os"

// Session is a program that a person uses inside a namespace of the box.
type Session struct {
	Argv []string
	Dir  string   // where it starts; a folder that is not there gives way to /
	Env  []string // all of its environment, as "name=value"
	// Stdio are its standard input, output and error.
	Stdio [3]*os.File
	// Terminal makes its standard input the controlling terminal of a session of its own.
	Terminal bool
}
