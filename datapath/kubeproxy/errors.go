package kubeproxy

import "github.com/svclab/svclab/datapath/service"

// UnsupportedModeError says that a proxy mode is not modelled.
type UnsupportedModeError struct{ Mode service.Mode }

func (e *UnsupportedModeError) Error() string {
	return `kube-proxy mode "` + string(e.Mode) + `" is not modelled`
}

// CannotUseIPVSError is why kube-proxy ends at a start in ipvs mode.
type CannotUseIPVSError struct {
	Scheduler string
	Err       error
}

func (e *CannotUseIPVSError) Error() string {
	return `can't use the IPVS proxier: scheduler "` + e.Scheduler + `": ` + e.Err.Error()
}

// Unwrap returns what IPVS said.
func (e *CannotUseIPVSError) Unwrap() error { return e.Err }

// UnsupportedHostError says that a host lacks what the ipvs mode reads: virtual servers, sets, addresses.
type UnsupportedHostError struct{}

func (e *UnsupportedHostError) Error() string {
	return "the host has no virtual servers and sets that could be read"
}
