package report

import (
	"encoding/xml"
	"io"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string     `xml:"name,attr"`
	Class   string     `xml:"classname,attr"`
	Failure *junitNote `xml:"failure,omitempty"`
	Skipped *junitNote `xml:"skipped,omitempty"`
	Output  string     `xml:"system-out,omitempty"`
}

type junitNote struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit prints the report as a JUnit test suite: a test case a check; what stayed open is skipped, or with strict failed.
func (r *Report) WriteJUnit(w io.Writer, strict bool) error {
	suite := junitSuite{Name: r.Scenario, Tests: len(r.Checks)}
	for _, c := range r.Checks {
		k := junitCase{Name: c.Name, Class: r.Scenario + "." + r.World, Output: c.Verdict + ": " + c.Reason}
		note := &junitNote{Message: c.Verdict + ": " + c.Reason, Text: c.Reproduce}
		switch {
		case c.Verdict == Pass:
		case c.Verdict == Fail || strict:
			k.Failure = note
			suite.Failures++
		default:
			k.Skipped = note
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, k)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
