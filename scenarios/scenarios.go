// Package scenarios holds scenarios that ship with the program: each is a file that svclab run takes, and a test case.
package scenarios

import "embed"

// Files are the scenarios with the manifests and dumps that they name.
//
//go:embed *.yaml *.save
var Files embed.FS
