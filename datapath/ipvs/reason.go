package ipvs

import (
	"fmt"
	"slices"
)

// reason says in words why a scheduler chose d in a state.
func reason(s *Service, d *Destination, st *SchedulerState) string {
	if d == nil {
		return noReason(s, st)
	}
	var row ServerLoad
	for _, r := range st.Servers {
		if r.Server == d.Addr {
			row = r
		}
	}
	switch s.Scheduler {
	case "rr":
		if !st.Cursor.IsValid() {
			return "the first usable server from the head of the list"
		}
		return "the next usable server after " + st.Cursor.String()
	case "wrr":
		return fmt.Sprintf("weight %d, the next of at least the current weight (which was %d, of at most %d)",
			d.Weight, st.CurrentWeight, st.MaxWeight)
	case "lc":
		return fmt.Sprintf("the least overhead, 256*%d+%d, the newest of equals", row.Active, row.Inactive)
	case "wlc":
		return fmt.Sprintf("the least overhead for its weight, (256*%d+%d)/%d, the newest of equals", row.Active, row.Inactive, row.Weight)
	case "sed":
		return fmt.Sprintf("the shortest expected delay, (%d+1)/%d, the newest of equals", row.Active, row.Weight)
	case "nq":
		if row.Active == 0 {
			return "the newest server without an active connection"
		}
		return fmt.Sprintf("nobody is idle; the shortest expected delay, (%d+1)/%d", row.Active, row.Weight)
	case "fo":
		return fmt.Sprintf("the largest weight, %d, the newest of equals", row.Weight)
	case "ovf":
		return fmt.Sprintf("the largest weight, %d, of those with at most as many active connections (%d)", row.Weight, row.Active)
	case "twos":
		return fmt.Sprintf("of two drawn by weight the less loaded, (256*%d+%d)/%d", row.Active, row.Inactive, row.Weight)
	case "sh", "dh", "mh":
		if st.BucketServer == d.Addr {
			return fmt.Sprintf("it has bucket %d", st.Bucket)
		}
		return fmt.Sprintf("fallback from bucket %d, whose server %s is unusable", st.Bucket, st.BucketServer)
	case "lblc", "lblcr":
		if slices.Contains(st.Cached, d.Addr) {
			return "remembered for the destination address"
		}
		return fmt.Sprintf("the least overhead for its weight, (256*%d+%d)/%d, remembered from now on", row.Active, row.Inactive, row.Weight)
	}
	return s.Scheduler
}

func noReason(s *Service, st *SchedulerState) string {
	if len(st.Servers) == 0 {
		return "the service has no server"
	}
	if st.Hashed && st.BucketServer.IsValid() {
		return fmt.Sprintf("bucket %d belongs to %s, which is unusable", st.Bucket, st.BucketServer)
	}
	if s.Scheduler == "ovf" {
		return "every server has weight 0, is overloaded or has more active connections than weight"
	}
	return "every server has weight 0 or is overloaded"
}
