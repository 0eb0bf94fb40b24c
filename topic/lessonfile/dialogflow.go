package lessonfile

import (
	"archive/zip"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/nexus-continuum/nexus/job"
)

// usersays matches the name of a file of training phrases: intent and language.
var usersays = regexp.MustCompile(`^(.*)_usersays_([A-Za-z-]+)$`)

// openDialogflow reads the intents of a Dialogflow ES export: one file with the
// responses of each, and one with its training phrases for each language.
func openDialogflow(u *unzipper, files []*zip.File, opt Options) (*File, error) {
	type phrases struct {
		language string
		texts    []string
	}
	said := map[string][]phrases{}
	spoken := map[string]map[string]string{} // intent → language → text
	fallback := map[string]bool{}
	var order []string
	var faults []*job.Fault
	for _, f := range files {
		body, err := u.read(f)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(path.Base(f.Name), path.Ext(f.Name))
		if m := usersays.FindStringSubmatch(name); m != nil {
			texts, err := trainingPhrases(body)
			if err != nil {
				faults = append(faults, fault(0, "%s is no file of training phrases", job.Clip(f.Name, 80)))
				continue
			}
			said[m[1]] = append(said[m[1]], phrases{m[2], texts})
			continue
		}
		order = append(order, name)
		var isFallback bool
		if spoken[name], isFallback, err = speech(body); err != nil {
			faults = append(faults, fault(0, "%s is no intent", job.Clip(f.Name, 80)))
		}
		fallback[name] = isFallback
	}
	slices.Sort(order)
	var lessons []Lesson
	line := len(faults)
	for _, intent := range order {
		for _, p := range said[intent] {
			text, ok := spoken[intent][strings.ToLower(p.language)]
			if !ok {
				text, ok = spoken[intent][""]
			}
			if !ok && !fallback[intent] {
				line++
				faults = append(faults, fault(line, "the intent %q has no text response in %s", job.Clip(intent, 80), p.language))
				continue
			}
			for _, prompt := range p.texts {
				if fallback[intent] {
					continue // what the bot did not understand
				}
				line++
				lessons = append(lessons, Lesson{Line: line, Prompt: prompt, Response: &text, Topic: opt.Topic})
			}
		}
	}
	if len(lessons) == 0 && len(faults) == 0 {
		return nil, unreadable("the Dialogflow export holds no intent with training phrases and a text response")
	}
	return &File{Format: FormatDialogflow, next: listed(lessons, faults)}, nil
}

func trainingPhrases(body []byte) ([]string, error) {
	var list []struct {
		Data []struct{ Text string }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	var out []string
	for _, e := range list {
		var b strings.Builder
		for _, d := range e.Data {
			b.WriteString(d.Text)
		}
		if s := strings.TrimSpace(b.String()); s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// speech reads the first text response of an intent in each language.
func speech(body []byte) (byLanguage map[string]string, fallback bool, err error) {
	var intent struct {
		FallbackIntent bool `json:"fallbackIntent"`
		Responses      []struct {
			Messages []struct {
				Lang   string          `json:"lang"`
				Speech json.RawMessage `json:"speech"`
			} `json:"messages"`
			Speech json.RawMessage `json:"speech"`
		} `json:"responses"`
	}
	if err := json.Unmarshal(body, &intent); err != nil {
		return nil, false, err
	}
	byLanguage = map[string]string{}
	put := func(language string, v json.RawMessage) {
		language = strings.ToLower(language)
		if t := texts(v); len(t) > 0 {
			if _, there := byLanguage[language]; !there {
				byLanguage[language] = t[0]
			}
			if _, there := byLanguage[""]; !there {
				byLanguage[""] = t[0]
			}
		}
	}
	for _, r := range intent.Responses {
		for _, m := range r.Messages {
			put(m.Lang, m.Speech)
		}
		put("", r.Speech)
	}
	return byLanguage, intent.FallbackIntent, nil
}
