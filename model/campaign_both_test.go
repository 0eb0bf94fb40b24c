package model

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nexus-continuum/nexus/model/gate"
	"github.com/nexus-continuum/nexus/worker/embedding"
)

var (
	campaignBoth = flag.String("campaign.both", "", "learn the default calibration for both encoders and write it to this file; NEXUS_EMBEDDINGS_URL and _MODEL name the other one")
	vectorsFile  = flag.String("vectors", "", "keep what the embedding server said in this file and in that of the same name with .txt")
)

// served are vectors of an embedding server, kept in files: one text a line, and as
// many numbers for each (float32, little-endian).
type served struct {
	testing.TB
	client *embedding.Client
	known  map[string][]float32
	dim    int
}

// vectorsOf opens the embedding server that the environment names.
func vectorsOf(t testing.TB) *served {
	t.Helper()
	client, err := embedding.New(embedding.Options{URL: os.Getenv("NEXUS_EMBEDDINGS_URL"), Model: os.Getenv("NEXUS_EMBEDDINGS_MODEL"), APIKey: os.Getenv("NEXUS_EMBEDDINGS_API_KEY")})
	if err != nil {
		t.Fatalf("NEXUS_EMBEDDINGS_URL and NEXUS_EMBEDDINGS_MODEL must name an embedding server: %v", err)
	}
	v := &served{TB: t, client: client, known: map[string][]float32{}}
	if *vectorsFile == "" {
		return v
	}
	raw, err := os.ReadFile(*vectorsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return v
	}
	texts, err2 := os.ReadFile(*vectorsFile + ".txt")
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(texts)))
	if len(lines) == 0 {
		return v
	}
	v.dim = len(raw) / 4 / len(lines)
	for i, l := range lines {
		x := make([]float32, v.dim)
		for j := range x {
			x[j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*(i*v.dim+j):]))
		}
		v.known[strings.TrimSuffix(l, "\n")] = x
	}
	return v
}

// need asks the server for what is not known of texts.
func (v *served) need(texts []string) {
	v.Helper()
	var missing []string
	for _, t := range texts {
		if v.known[t] == nil && !slices.Contains(missing, t) {
			missing = append(missing, t)
		}
	}
	for batch := range slices.Chunk(missing, embedding.MaxTexts) {
		got, err := v.client.Embed(context.Background(), v.client.Model(), v.dim, batch)
		if err != nil {
			v.Fatal(err)
		}
		v.dim = len(got[0])
		for i, t := range batch {
			v.known[t] = got[i]
		}
		v.keep(batch, got)
	}
}

func (v *served) keep(texts []string, vectors [][]float32) {
	if *vectorsFile == "" {
		return
	}
	for name, write := range map[string]func(*bufio.Writer){
		*vectorsFile: func(w *bufio.Writer) {
			for _, x := range vectors {
				_ = binary.Write(w, binary.LittleEndian, x)
			}
		},
		*vectorsFile + ".txt": func(w *bufio.Writer) {
			for _, t := range texts {
				_, _ = w.WriteString(strings.ReplaceAll(t, "\n", " ") + "\n")
			}
		},
	} {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			v.Fatal(err)
		}
		w := bufio.NewWriter(f)
		write(w)
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			v.Fatal(err)
		}
	}
}

func (v *served) see(text string) []float32 { return v.known[text] }

// onto gives m the server's vectors of its lessons.
func (v *served) onto(m *Model) *Model {
	v.need(m.Unseen(Space{Name: v.client.Model(), Dim: v.dim}))
	return m.WithVectors(Space{Name: v.client.Model(), Dim: v.dim}, v.known)
}

// seenByBoth is d as both encoders see it, with the share given.
func (d *deployment) seenByBoth(v *served, share float64) deployment {
	m := v.onto(d.model)
	f := &Fitting{of: m, share: share, scope: bothScope}
	f.model = m.blended(share, gate.NewBoth(0.05), nil)
	v.need(f.Texts())
	f.Calibrate(v.see, func() {})
	out := deployment{plan: d.plan, model: m.blended(share, f.gate, v.see)}
	b := *out.model.blend
	out.model.blend = &b
	out.own = out.model.judging(bothScope).all(func() {})
	out.trial.Profile, out.trial.Own = f.gate.Profile(), out.own
	out.ask(out.model)
	out.lead(out.model)
	return out
}

// rightBy is how often the best candidate is right with each share, of what is asked
// and of the lessons left out; NaN where none can be.
func (d *deployment) rightBy(v *served) (asked, left [len(shares)]float64) {
	m := v.onto(d.model)
	for i, share := range shares {
		b := m.blended(share, gate.NewBoth(0.05), v.see)
		right, n := b.leftOut(func() {})
		left[i] = float64(right) / float64(n)
		one := deployment{plan: d.plan, model: b}
		one.ask(b)
		right, n = 0, 0
		for j := range one.trial.Records {
			if r := &one.trial.Records[j]; !r.Foreign {
				n++
				if best, _, _ := b.gate.Weigh(&r.Look); best >= 0 && best == r.Right {
					right++
				}
			}
		}
		asked[i] = float64(right) / float64(n)
	}
	return asked, left
}

// TestCampaignBoth learns the default calibration for both encoders from simulated
// deployments and writes it, when it is asked to.
func TestCampaignBoth(t *testing.T) {
	if *campaignBoth == "" {
		return
	}
	v := vectorsOf(t)
	v.need([]string{"how long are the vectors"})
	empty, err := New(Config{Seed: 1, Size: cmp.Or(os.Getenv("NEXUS_MODEL_SIZE"), Small)})
	if err != nil {
		t.Fatal(err)
	}
	var own, all []deployment
	var mean [len(shares)]float64
	var bands [4][len(shares)]float64
	var counts [4]float64
	for i, p := range plans(t, *campaignRounds) {
		if p.family == "base" {
			continue
		}
		d := p.carriedOut(t, empty)
		for _, q := range slices.Concat(d.asked, d.strange) {
			if v.known[q.prompt] == nil {
				v.need([]string{q.prompt})
			}
		}
		asked, _ := d.rightBy(v)
		band := 0
		for band < 3 && p.most > []int{1, 3, 10}[band] {
			band++
		}
		counts[band]++
		for j := range shares {
			mean[j] += asked[j]
			bands[band][j] += asked[j]
		}
		b := d.seenByBoth(v, usualShare())
		d.model, b.model = nil, nil
		own, all = append(own, d), append(all, b)
		if i%20 == 0 {
			t.Logf("%d deployments; sums of best right by share %.2f", i, mean)
		}
	}
	for j := range shares {
		mean[j] /= float64(len(all))
		for b := range bands {
			bands[b][j] /= max(counts[b], 1)
		}
	}
	t.Logf("best right by share %v: %.3f\nwith 1, 3, 10, more lessons: %.3f", shares, mean, bands)
	gates := make([]*gate.Gate, len(all))
	for i := range own {
		gates[i] = gate.Calibrate(own[i].own, 0.05)
	}
	t.Logf("the own encoder alone, by the default that ships:\n%s", summary(own, gates))
	for i := range all {
		gates[i] = gate.Calibrate(all[i].own, 0.05)
	}
	t.Logf("both, by the default of the own encoder:\n%s", summary(all, gates))
	writeDefault(t, all, []string{"clinc", "hwu", "helpdesk", "pack"}, *campaignBoth)
}
