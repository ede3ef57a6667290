// Command svclab simulates and emulates the Kubernetes service datapath. It is thin: flags in, sim/run's reports and traces
// out. Results go to standard output, all else to standard error; exit codes are in exit.go.
package main

import (
	"os"

	"github.com/svclab/svclab/sim/box"
)

func main() {
	box.Init() // a child of ours serves its box and does not return
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}
