package box

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pair is two ends of a socket over which files are passed. Give one to a box as one of Config.Files.
func Pair() (ours, theirs *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	return os.NewFile(uintptr(p[0]), "pass"), os.NewFile(uintptr(p[1]), "pass box"), nil
}

// Pass gives a copy of a file to whoever receives at the other end.
func Pass(over, f *os.File) error {
	return onFD(over, func(fd int) error {
		return onFD(f, func(passed int) error { return unix.Sendmsg(fd, []byte{0}, unix.UnixRights(passed), nil, 0) })
	})
}

// Receive waits for a file that is passed. Close the other end to end the wait.
func Receive(over *os.File) (*os.File, error) {
	var got int
	err := onFD(over, func(fd int) error {
		b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			return err
		}
		list, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return err
		}
		for i := range list {
			if fds, err := unix.ParseUnixRights(&list[i]); err == nil && len(fds) == 1 {
				got = fds[0]
				return nil
			}
		}
		return errors.New("no file came")
	})
	if err != nil {
		return nil, fmt.Errorf("receiving a file: %w", err)
	}
	if err := unix.SetNonblock(got, true); err != nil {
		unix.Close(got)
		return nil, err
	}
	return os.NewFile(uintptr(got), "passed"), nil
}

func onFD(f *os.File, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// File is one of the files that the box was given with Config.Files, from 0. It is nil where there is none.
func (in *Inside) File(i int) *os.File {
	fd := controlFD + 1 + i
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("file %d", i))
}
