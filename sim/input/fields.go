package input

import (
	"reflect"
	"strings"
	"sync"
)

var structs sync.Map // reflect.Type → *structInfo

// structInfo is the JSON view of a struct type: field names to index paths, embedded structs laid open.
type structInfo struct {
	fields map[string][]int
	names  []string
}

func structOf(t reflect.Type) *structInfo {
	if s, ok := structs.Load(t); ok {
		return s.(*structInfo)
	}
	s := &structInfo{fields: map[string][]int{}}
	s.add(t, nil)
	structs.Store(t, s)
	return s
}

func (s *structInfo) add(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(append([]int(nil), prefix...), i)
		if f.Anonymous && name == "" {
			if f.Type.Kind() == reflect.Struct {
				s.add(f.Type, index)
			}
			continue
		}
		if !f.IsExported() || name == "-" || name == "" {
			continue
		}
		s.fields[name] = index
		s.names = append(s.names, name)
	}
}
