//go:build linux && cgo

package accelerator_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/model"
	"github.com/nexus-continuum/nexus/model/base"
	"github.com/nexus-continuum/nexus/model/cuda"
	"github.com/nexus-continuum/nexus/model/cuda/cudatest"
	"github.com/nexus-continuum/nexus/telemetry/heartbeat"
	"github.com/nexus-continuum/nexus/worker/accelerator"
	"github.com/nexus-continuum/nexus/worker/governor"
)

// bench is an accelerator over a driver of its own, and a model that was taught.
type bench struct {
	*testing.T
	driver *cudatest.Driver
	acc    *accelerator.Accelerator
	model  *model.Model // on the cores
	placed *model.Model // on the cards too
	clock  atomic.Int64 // nanoseconds
}

// free is a governor that allows everything.
type free struct{}

func (free) Card(string) governor.Card { return governor.Card{} }

// taught is a small model that knows a little. Teaching it is slow, so the tests share it.
var taught = sync.OnceValues(func() (*model.Model, error) {
	m, err := model.New(model.Config{Base: base.None()})
	if err != nil {
		return nil, err
	}
	lessons := make([]model.Lesson, 0, 200)
	for i := range 200 {
		lessons = append(lessons, model.Lesson{Prompt: fmt.Sprintf("what does word%d mean in book %d", i, i%7), Response: fmt.Sprintf("answer %d", i)})
	}
	m, _ = m.Memorise(lessons)
	return m, nil
})

func setup(t *testing.T, g accelerator.Governor, change func(*accelerator.Options)) *bench {
	t.Helper()
	b := &bench{T: t, driver: cudatest.New(t)}
	m, err := taught()
	if err != nil {
		t.Fatal(err)
	}
	b.model = m
	cards, err := cuda.List(b.driver.Path)
	if err != nil {
		t.Fatal(err)
	}
	opt := accelerator.Options{
		Cards: cards, Library: b.driver.Path, From: 1, ScanFrom: 1, Governor: g, Every: time.Millisecond,
		Now: func() time.Time { return time.Unix(0, b.clock.Load()) },
	}
	if change != nil {
		change(&opt)
	}
	b.acc = accelerator.New(opt)
	if err := b.acc.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.acc.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if n := b.driver.Used(); n != 0 {
			t.Errorf("%d bytes are held after the stop", n)
		}
	})
	b.placed = b.model.On(b.acc)
	return b
}

// questions are a full batch, some of which nothing was taught about.
func questions() []model.Query {
	out := make([]model.Query, model.MaxBatch)
	for i := range out {
		out[i].Prompt = fmt.Sprintf("what does word%d mean in book %d", 3*i, 3*i%7)
		if i%4 == 1 {
			out[i].Prompt = fmt.Sprintf("please say what word%d means", 3*i)
		}
		if i%8 == 2 {
			out[i].Prompt = "is there a train to the sea"
		}
	}
	return out
}

// same asks a batch and compares it with what the cores alone answer. It returns how many
// batches, searches and refusals of the cards that made.
func (b *bench) same(what string) (c accelerator.Counts) {
	b.Helper()
	before := b.acc.Counts()
	got, want := b.placed.Ask(questions()), b.model.Ask(questions())
	for i := range want {
		if got[i].Responded != want[i].Responded || got[i].Response != want[i].Response || got[i].Reason != want[i].Reason {
			b.Errorf("%s: %q gives %q (%s), on the cores alone %q (%s)", what, questions()[i].Prompt, got[i].Response, got[i].Reason, want[i].Response, want[i].Reason)
		}
	}
	after := b.acc.Counts()
	return accelerator.Counts{
		Prompts: after.Prompts - before.Prompts, Batches: after.Batches - before.Batches,
		Searches: after.Searches - before.Searches, Declined: after.Declined - before.Declined,
	}
}

// await waits for the state of a card.
func (b *bench) await(card int, state string) heartbeat.Card {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if s := b.acc.State()[card]; s.State == state {
			return s
		}
		select {
		case <-tick.C:
		case <-b.Context().Done():
			b.Fatalf("the card is %+v, want it %s", b.acc.State()[card], state)
		}
	}
}

func TestCardsAnswerAsCoresDo(t *testing.T) {
	t.Parallel()
	b := setup(t, free{}, nil)
	if c := b.same("a batch"); c.Prompts < model.MaxBatch || c.Batches < 1 || c.Searches < 1 || c.Declined != 0 {
		t.Errorf("a batch counts as %+v", c)
	}
	if s := b.acc.State(); len(s) != 1 || s[0].State != heartbeat.CardComputes || s[0].Why != "" {
		t.Errorf("the cards are %+v", s)
	}
	// What was taught since is found too, and only its exemplar goes up.
	more, _ := b.model.Memorise([]model.Lesson{{Prompt: "where is the key of the shed", Response: "under the pot"}})
	calls := b.driver.Calls()
	b.model, b.placed = more, more.On(b.acc)
	if n := b.driver.Calls() - calls; n > 8 {
		t.Errorf("one lesson more takes %d calls of the driver", n)
	}
	if v := b.placed.Ask([]model.Query{{Prompt: "where is the key of the shed please"}}); v[0].Sources()[0].Prompt != "where is the key of the shed" {
		t.Errorf("the nearest is %+v", v[0].Sources())
	}
}

func TestSmallWorkStaysOnTheCores(t *testing.T) {
	t.Parallel()
	b := setup(t, free{}, func(o *accelerator.Options) { o.From, o.ScanFrom = 5, 1000 })
	launches := b.driver.Launches()
	b.placed.Ask(questions()[:4])
	if n := b.driver.Launches() - launches; n != 0 {
		t.Errorf("four prompts ran %d kernels", n)
	}
	// Questions that are no repeat are asked again by sentence, one by one.
	if c := b.same("a batch"); c.Prompts != model.MaxBatch || c.Searches != 0 || c.Declined != 0 {
		t.Errorf("a batch counts as %+v", c)
	}
}

func TestCardsShareTheWork(t *testing.T) {
	t.Parallel()
	d := cudatest.New(t)
	d.Devices(3)
	b := setup(t, free{}, func(o *accelerator.Options) {
		o.Library = d.Path
		var err error
		if o.Cards, err = cuda.List(d.Path); err != nil {
			t.Fatal(err)
		}
	})
	if got := len(b.acc.State()); got != 3 {
		t.Fatalf("%d cards", got)
	}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() { b.same("beside others") })
	}
	all.Wait()
	if d.Graphs() < 6 {
		t.Errorf("%d batches ran on the cards", d.Graphs())
	}
}

func TestALostCardComesBack(t *testing.T) {
	t.Parallel()
	tried := make(chan struct{}, 100)
	b := setup(t, free{}, func(o *accelerator.Options) { o.Log = slog.New(onWarning(func() { tried <- struct{}{} })) })
	b.driver.Lose(cudatest.Uncorrected)
	if c := b.same("as the card is lost"); c.Prompts != 0 || c.Declined == 0 {
		t.Errorf("a lost card counts %+v", c)
	}
	if s := b.await(0, heartbeat.CardLost); !strings.Contains(s.Why, "CUDA_ERROR_ECC_UNCORRECTABLE; the cores compute") {
		t.Errorf("the lost card says %q", s.Why)
	}
	// Each try fails and doubles the wait, so three take seven seconds at least.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; n < 3; {
		select {
		case <-tried:
			n++
			b.same("while it waits")
		case <-tick.C:
			b.clock.Add(int64(50 * time.Millisecond))
		}
	}
	if d := time.Duration(b.clock.Load()); d < 7*time.Second {
		t.Errorf("the third try came after %v", d)
	}
	b.driver.Lose(0)
	b.clock.Add(int64(time.Minute))
	b.await(0, heartbeat.CardComputes)
	for b.same("after it came back").Prompts == 0 {
		// Its numbers go up with the next look.
	}
}

// onWarning is a log that calls itself at each warning.
type onWarning func()

func (f onWarning) Enabled(_ context.Context, l slog.Level) bool { return l == slog.LevelWarn }
func (f onWarning) Handle(context.Context, slog.Record) error    { f(); return nil }
func (f onWarning) WithAttrs([]slog.Attr) slog.Handler           { return f }
func (f onWarning) WithGroup(string) slog.Handler                { return f }

func TestMemoryThatOthersTake(t *testing.T) {
	t.Parallel()
	b := setup(t, free{}, func(o *accelerator.Options) { o.MemoryLimit = 50 })
	b.same("with room")
	// Others take nearly all, and a model with other weights comes.
	b.driver.Memory(1<<30, 1<<30-b.driver.Used())
	other, err := model.New(model.Config{Base: base.None(), Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	b.model, b.placed = other, other.On(b.acc)
	if c := b.same("without room"); c.Prompts != 0 {
		t.Errorf("without room: %+v", c)
	}
	if s := b.await(0, heartbeat.CardFull); s.Why == "" {
		t.Error("nothing says why")
	}
	b.driver.Memory(1<<30, 0)
	b.await(0, heartbeat.CardComputes)
	if c := b.same("with room again"); c.Prompts == 0 {
		t.Errorf("with room again: %+v", c)
	}
}

// TestAnswersComeWhateverFails has each call of the driver fail once, over the life of a card
// from its opening on: every batch is answered as the cores answer it.
func TestAnswersComeWhateverFails(t *testing.T) {
	t.Parallel()
	life := func(n int64) (calls int64) {
		d := cudatest.New(t)
		if n > 0 {
			d.Fail(n+3, 1, cudatest.LaunchFails) // after those of List
		}
		b := setup(t, free{}, func(o *accelerator.Options) {
			o.Library = d.Path
			o.Cards, _ = cuda.List(d.Path)
			o.Every = time.Hour
		})
		b.same(fmt.Sprintf("call %d fails", n))
		return d.Calls()
	}
	calls := life(0)
	for n := int64(1); n <= calls; n += 3 { // each call by itself is tried in package cuda
		life(n)
	}
}
