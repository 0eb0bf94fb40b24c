package main

import (
	"reflect"
	"testing"
)

// A newcomer reads at most 60 settings; the others are in the section Advanced.
func TestANewcomerReadsSixtySettings(t *testing.T) {
	t.Parallel()
	read, advanced := 0, 0
	settings := reflect.TypeFor[Settings]()
	for i := range settings.NumField() {
		tag := settings.Field(i).Tag
		switch {
		case tag.Get("var") == "":
		case tag.Get("group") == "Advanced":
			advanced++
		default:
			read++
		}
	}
	if read == 0 || advanced == 0 || read > 60 {
		t.Errorf("%d settings are outside the section Advanced and %d in it; at most 60 may be outside", read, advanced)
	}
	t.Logf("%d settings, and %d advanced ones", read, advanced)
}
