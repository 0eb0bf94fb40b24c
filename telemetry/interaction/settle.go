package interaction

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/internal/redisfault"
	"github.com/nexus-continuum/nexus/internal/streamid"
	"github.com/nexus-continuum/nexus/job"
)

// settledMost limits how many wordings are remembered as settled.
const settledMost = 10_000

// resolvedKey holds the wordings that a person has settled.
func (log *Log) resolvedKey() string { return log.key("settled") }

// refusalGroup is the key that refusals of one wording share.
func refusalGroup(it job.Interaction) string { return it.Topic + "\x00" + plainWords(it.Prompt) }

// refusalID is the id of a wording, and of the group that it leads.
func refusalID(it job.Interaction) string {
	sum := sha256.Sum256([]byte(refusalGroup(it)))
	return hex.EncodeToString(sum[:8])
}

// refusalPlace is the place of a group in the list.
type refusalPlace struct {
	count int
	at    int64 // of the last one, Unix ms
	id    string
}

func (r *Refusal) place() refusalPlace {
	p := refusalPlace{count: r.Count, id: r.ID}
	if r.LastAt != nil {
		p.at = r.LastAt.UnixMilli()
	}
	return p
}

func (p refusalPlace) compare(o refusalPlace) int {
	return cmp.Or(cmp.Compare(o.count, p.count), cmp.Compare(o.at, p.at), strings.Compare(p.id, o.id))
}

func (p refusalPlace) String() string { return fmt.Sprintf("%d.%d.%s", p.count, p.at, p.id) }

func parseRefusalPlace(s string) (p refusalPlace, err error) {
	if s == "" {
		return p, nil
	}
	parts := strings.Split(s, ".")
	if len(parts) == 3 {
		p.id = parts[2]
		if p.count, err = strconv.Atoi(parts[0]); err == nil {
			if p.at, err = strconv.ParseInt(parts[1], 10, 64); err == nil {
				return p, nil
			}
		}
	}
	return p, job.Errorf(job.CodeInvalid, "the cursor is not one that a list returned").On("cursor")
}

// DropRefusals removes groups from the list, with all their wordings, and returns how
// many were there. A group returns when one of its prompts is asked and refused again.
func (log *Log) DropRefusals(ctx context.Context, owner *string, ids ...string) (int, error) {
	return log.DropGroups(ctx, ListRefused, owner, ids...)
}

// DropGroups is DropRefusals for any list of the log.
func (log *Log) DropGroups(ctx context.Context, list List, owner *string, ids ...string) (int, error) {
	book := log.book(list)
	book.mu.Lock()
	defer book.mu.Unlock()
	if err := log.follow(ctx, list, book); err != nil {
		return 0, err
	}
	wordings, n := book.ledger.inGroupsOf(owner, ids)
	if n == 0 {
		return 0, nil
	}
	return n, log.deleteFrom(ctx, list, book.ledger, owner, wordings)
}

// Settle removes the group of an interaction from its lists for good, because the
// refusal or the answer was right.
func (log *Log) Settle(ctx context.Context, owner *string, it job.Interaction) error {
	lists := []List{ListRefused}
	if it.Responded {
		lists = []List{ListWrong, ListUnsure}
	}
	for _, list := range lists {
		if err := log.resolveIn(ctx, list, owner, refusalID(it)); err != nil {
			return err
		}
	}
	return nil
}

func (log *Log) resolveIn(ctx context.Context, list List, owner *string, id string) error {
	book := log.book(list)
	book.mu.Lock()
	defer book.mu.Unlock()
	if err := log.follow(ctx, list, book); err != nil {
		return err
	}
	wordings, _ := book.ledger.inGroupsOf(owner, []string{id})
	settled := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(wordings), id))))
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	pipe := log.redis.TxPipeline()
	now := float64(log.now().UnixMilli())
	for _, id := range settled {
		pipe.ZAdd(rctx, log.resolvedKey(), redis.Z{Score: now, Member: id})
	}
	pipe.ZRemRangeByRank(rctx, log.resolvedKey(), 0, -settledMost-1)
	pipe.Expire(rctx, log.resolvedKey(), 2*max(log.opt.Retention, time.Hour))
	if err := log.addEvent(rctx, pipe, ledgerEvent{Op: "settle", IDs: settled}); err != nil {
		return err
	}
	if _, err := pipe.Exec(rctx); err != nil {
		return redisfault.Unavailable("settle a group", err)
	}
	return log.deleteFrom(ctx, list, book.ledger, owner, wordings)
}

// inGroupsOf finds the groups that contain any of ids. It returns all wordings of these
// groups that belong to the owner.
func (l *ledger) inGroupsOf(owner *string, ids []string) (all []string, groups int) {
	found := map[*group]bool{}
	for _, id := range ids {
		w := l.byID[id]
		if w == nil || l.settled[id] || found[w.group] {
			continue
		}
		if n, _ := w.count(owner); n == 0 {
			continue
		}
		found[w.group] = true
		groups++
		for _, o := range w.group.wordings {
			if n, _ := o.count(owner); n > 0 {
				all = append(all, o.id)
			}
		}
	}
	return all, groups
}

// deleteFrom removes wordings from a list, as far as the ledger has read it, and
// informs the other processes.
func (log *Log) deleteFrom(ctx context.Context, list List, l *ledger, owner *string, wordings []string) error {
	var entries []string
	for _, id := range wordings {
		if w := l.byID[id]; w != nil {
			for _, e := range w.entries {
				if owner == nil || e.owner == *owner {
					entries = append(entries, fmt.Sprintf("%d-%d", e.ms, e.seq))
				}
			}
		}
	}
	if len(entries) == 0 {
		return nil
	}
	rctx, cancel := log.withTimeout(ctx)
	defer cancel()
	pipe := log.redis.TxPipeline()
	for chunk := range slices.Chunk(entries, 1000) {
		pipe.XDel(rctx, log.listKey(list), chunk...)
	}
	if err := log.addEvent(rctx, pipe, ledgerEvent{Op: "drop", List: list, Owner: owner, IDs: wordings, Upto: l.last}); err != nil {
		return err
	}
	if _, err := pipe.Exec(rctx); err != nil {
		return redisfault.Unavailable("drop groups", err)
	}
	ms, seq := streamid.Split(l.last)
	for _, id := range wordings {
		l.drop(id, owner, ms, seq)
	}
	return nil
}
