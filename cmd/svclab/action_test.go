package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/svclab/svclab/sim/report"
)

// action is what a composite action says, as far as a runner needs it to run shell steps.
type action struct {
	Inputs map[string]struct {
		Description, Default string
		Required             bool
	}
	Runs struct {
		Using string
		Steps []struct {
			Name, Uses, Shell, Run string
			Env                    map[string]string
		}
	}
}

func readAction(t *testing.T) (action, string) {
	t.Helper()
	dir, err := filepath.Abs("../../.github/actions/compare")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var a action
	if err := yaml.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	return a, dir
}

// The action is composite, describes its inputs, and hands them to its scripts in variables alone: text that a runner pastes into
// a script would be run.
func TestAction(t *testing.T) {
	a, _ := readAction(t)
	if a.Runs.Using != "composite" || len(a.Runs.Steps) == 0 {
		t.Errorf("%+v", a.Runs)
	}
	for name, in := range a.Inputs {
		if in.Description == "" || in.Required == (in.Default != "") {
			t.Errorf("input %s: %+v", name, in)
		}
	}
	for _, s := range a.Runs.Steps {
		if strings.Contains(s.Run, "${{") || (s.Run != "") != (s.Shell == "bash") || (s.Run == "") == (s.Uses == "") {
			t.Errorf("step %+v", s)
		}
	}
}

// TestKernelAction runs the action's shell steps as a runner does, on a scenario that agrees and on one that is no scenario.
func TestKernelAction(t *testing.T) {
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
	work := t.TempDir()
	for _, name := range []string{"nginx.yaml", "nginx-manifests.yaml"} {
		text, err := os.ReadFile("../../scenarios/" + name)
		if err != nil {
			t.Fatal(err)
		}
		small := strings.ReplaceAll(string(text), "connections: 100000", "connections: 20000")
		if err := os.WriteFile(filepath.Join(work, name), []byte(small), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, failed := runAction(t, work, map[string]string{"scenarios": "ngin*.yaml", "variant": "legacy", "reports": "out"})
	if failed != "Compare" || strings.Count(out, "exit code 2") != 1 || !strings.Contains(out, "nginx-manifests.yaml, legacy: exit code 2") {
		t.Errorf("manifests are no scenario: step %q failed:\n%s", failed, out)
	}
	for _, name := range []string{"nginx-legacy.json", "nginx-legacy.xml", "nginx-legacy.html"} {
		if _, err := os.Stat(filepath.Join(work, "out", name)); err != nil {
			t.Error(err)
		}
	}
	text, _ := os.ReadFile(filepath.Join(work, "out", "nginx-legacy.json"))
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil || r.Kernel == nil || r.Verdict != report.Pass && r.Verdict != report.Inconclusive {
		t.Errorf("%v: %s", err, text)
	}
	summary, err := os.ReadFile(filepath.Join(work, "summary.md"))
	if err != nil || !strings.Contains(string(summary), "## nginx: ") {
		t.Errorf("%v, summary %q", err, summary)
	}
}

// runAction runs the shell steps until one fails, and names that one.
func runAction(t *testing.T, work string, inputs map[string]string) (output, failed string) {
	t.Helper()
	a, dir := readAction(t)
	temp := t.TempDir()
	for _, s := range a.Runs.Steps {
		if s.Run == "" {
			continue // Go is here already
		}
		cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "RUNNER_TEMP="+temp, "GITHUB_STEP_SUMMARY="+filepath.Join(work, "summary.md"), "NO_COLOR=1")
		for k, v := range s.Env {
			v = strings.ReplaceAll(v, "${{ github.action_path }}", dir)
			for name, in := range a.Inputs {
				value, given := inputs[name]
				if !given {
					value = in.Default
				}
				v = strings.ReplaceAll(v, "${{ inputs."+name+" }}", value)
			}
			if strings.Contains(v, "${{") {
				t.Errorf("step %s: %s=%s is not known here", s.Name, k, v)
			}
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, err := cmd.CombinedOutput()
		output += string(out)
		if err != nil {
			return output, s.Name
		}
	}
	return output, ""
}
