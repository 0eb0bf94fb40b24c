package interaction

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nexus-continuum/nexus/job"
)

func (b *bundle) refuse(owner string, prompts ...string) {
	b.Helper()
	batch := make([]job.Interaction, len(prompts))
	for i, p := range prompts {
		batch[i] = job.Interaction{ID: job.NewID(), Owner: owner, Prompt: p, Reason: job.ReasonUnfamiliar, At: job.At(time.Now())}
	}
	if err := b.log.Append(b.ctx, batch); err != nil {
		b.Fatal(err)
	}
}

// counted lists the groups of a process: how often each was asked, by its prompt.
func (b *bundle) counted(log *Log, owner *string) map[string]int {
	b.Helper()
	out := map[string]int{}
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := log.Refusals(b.ctx, owner, cursor, nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, g := range page {
			out[g.Prompt] += g.Count
		}
		cursor = next
	}
	return out
}

// Every process follows the list without reading it anew, and sees what others
// took out of it.
func TestEveryProcessFollowsTheRefusals(t *testing.T) {
	eachMode(t, func(t *bundle) {
		one, two := t.log, t.open(Options{Length: 100_000})
		alice, bob := "alice", "bob"
		want := func(what string, groups map[string]int) {
			t.Helper()
			for i, log := range []*Log{one, two, t.open(Options{})} {
				if got := t.counted(log, nil); fmt.Sprint(got) != fmt.Sprint(groups) {
					t.Errorf("%s: process %d has %v, want %v", what, i, got, groups)
				}
			}
		}
		t.refuse(alice, "Where is my parcel?", "where is my parcel", "Where is my parcels?", "sing a song")
		t.refuse(bob, "Where is my parcel", "how do I pay")
		want("at first", map[string]int{"Where is my parcel": 4, "sing a song": 1, "how do I pay": 1})
		if got := t.counted(two, &bob); fmt.Sprint(got) != fmt.Sprint(map[string]int{"Where is my parcel": 1, "how do I pay": 1}) {
			t.Errorf("bob sees %v", got)
		}

		id := refusalID(job.Interaction{Prompt: "where is my parcel"})
		if n, err := two.DropRefusals(t.ctx, &alice, id, "unknown"); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		want("alice dropped hers", map[string]int{"Where is my parcel": 1, "sing a song": 1, "how do I pay": 1})
		t.refuse(alice, "where is my parcel")
		want("asked again", map[string]int{"where is my parcel": 2, "sing a song": 1, "how do I pay": 1})

		song := job.Interaction{ID: job.NewID(), Prompt: "sing a song", Reason: job.ReasonUnfamiliar}
		if err := one.Settle(t.ctx, nil, song); err != nil {
			t.Fatal(err)
		}
		t.refuse(bob, "Sing a song!")
		want("settled for good", map[string]int{"where is my parcel": 2, "how do I pay": 1})
		if err := two.MarkWrong(t.ctx, song); err != nil { // who settled it was mistaken
			t.Fatal(err)
		}
		want("not settled any more", map[string]int{"where is my parcel": 2, "how do I pay": 1, "Sing a song!": 1})

		// Somebody changes the list by other means, such as an older version.
		entries := one.redis.XRange(t.ctx, one.listKey(ListRefused), "-", "+").Val()
		one.redis.XDel(t.ctx, one.listKey(ListRefused), entries[1].ID)
		want("changed by others", map[string]int{"where is my parcel": 2, "Sing a song!": 1})
		one.redis.Del(t.ctx, one.listKey(ListRefused))
		want("deleted", map[string]int{})
		t.refuse(bob, "and again")
		want("begun anew", map[string]int{"and again": 1})
	})
}

// What Redis trims is forgotten too.
func TestTrimmedRefusalsAreForgotten(t *testing.T) {
	eachMode(t, func(t *bundle) {
		log := t.open(Options{Length: 1000}) // and so 200 refusals
		old := *t
		old.log = log
		for i := range 8 {
			old.refuse("", fmt.Sprintf("a question about the number %d of many", i*7919))
			for range 100 {
				old.refuse("", "what is new")
			}
			total := 0
			for _, n := range t.counted(log, nil) {
				total += n
			}
			if kept := log.redis.XLen(t.ctx, log.listKey(ListRefused)).Val(); int64(total) != kept {
				t.Errorf("after %d: %d are listed of %d", i, total, kept)
			}
		}
	})
}

// An answer that changed parts prompts that were one group.
func TestPromptsOfDifferentAnswersAreApart(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for i, response := range []string{"By card.", "By card.", "In cash."} {
		prompt := "how can I pay for my order"
		if i == 1 {
			prompt = "how can I pay for my orders"
		}
		l.add(fmt.Sprintf("%d-0", i+1), job.Interaction{ID: fmt.Sprint(i), Prompt: prompt, Responded: true, Response: response})
		if want := 1 + i/2; len(l.groups) != want {
			t.Errorf("after %d: %d groups, want %d", i, len(l.groups), want)
		}
	}
}

var refusalLines = flag.Int("refusals.lines", 5000, "how many refusals BenchmarkRefusals keeps")

// A page of many refusals, most of them different.
func BenchmarkRefusals(b *testing.B) {
	words := strings.Fields("invoice parcel password refund address voucher contract delivery warranty account card shop table garden weather music doctor school " +
		"train ticket flight hotel dinner recipe pasta river mountain planet history king queen war peace science atom energy light sound")
	verbs := strings.Fields("change find cancel reset track return print send check move explain describe list compare draw sing write read build break")
	asks := strings.Split("how can i|where do i|why should i|when may i|who can|what happens if i|is it possible to|tell me how to", "|")
	random := rand.New(rand.NewPCG(1, 2))
	one := func(of []string) string { return of[random.IntN(len(of))] }
	l := newLedger()
	began := time.Now()
	for i := range *refusalLines {
		prompt := fmt.Sprintf("%s %s %s and %s %s %s", one(asks), one(verbs), one(words), one(verbs), one(words), one(words))
		l.add(fmt.Sprintf("%d-0", i+1), job.Interaction{ID: job.NewID(), Prompt: prompt, Reason: job.ReasonUnfamiliar})
	}
	first := time.Since(began)
	n := *refusalLines
	for b.Loop() {
		n++ // one more is refused between two looks
		l.add(fmt.Sprintf("%d-0", n), job.Interaction{ID: job.NewID(), Prompt: "how can I change the invoice", Reason: job.ReasonUnfamiliar})
		if top := l.after(refusalPlace{}, true, nil); len(top) != refusalPage+1 {
			b.Fatal(len(top))
		}
	}
	b.ReportMetric(first.Seconds(), "s/first")
	b.ReportMetric(float64(len(l.groups)), "groups")
}
