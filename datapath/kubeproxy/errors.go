package kubeproxy

import "github.com/svclab/svclab/datapath/service"

// UnsupportedModeError says that a proxy mode is not modelled.
type UnsupportedModeError struct{ Mode service.Mode }

func (e *UnsupportedModeError) Error() string {
	return `kube-proxy mode "` + string(e.Mode) + `" is not modelled`
}
