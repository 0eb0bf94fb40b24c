package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// settledMost bounds how many wordings are remembered as settled.
const settledMost = 10_000

// settledKey holds the wordings of which a person said that refusing was right.
func (q *Queue) settledKey() string { return q.shared("log", "settled") }

// refusalGroup is what refusals of one wording have in common.
func refusalGroup(it job.Interaction) string { return it.Topic + "\x00" + plainWords(it.Prompt) }

// refusalID is the id of a wording, and of the group that it leads.
func refusalID(it job.Interaction) string {
	sum := sha256.Sum256([]byte(refusalGroup(it)))
	return hex.EncodeToString(sum[:8])
}

// refusalPlace is where a group stands in the list.
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

// DropRefusals takes groups out of the list, with all their wordings. They come
// back when they are asked and refused again. It tells how many were there.
func (q *Queue) DropRefusals(ctx context.Context, owner *string, ids ...string) (int, error) {
	return q.DropGroups(ctx, ListRefused, owner, ids...)
}

// DropGroups is DropRefusals for any list of the log.
func (q *Queue) DropGroups(ctx context.Context, list List, owner *string, ids ...string) (int, error) {
	wordings, n, err := q.wordings(ctx, list, owner, ids)
	if err != nil || n == 0 {
		return n, err
	}
	return n, q.deleteFrom(ctx, list, owner, wordings)
}

// Settle takes the group of an interaction out of every list for good: the
// refusal, or the answer, was right.
func (q *Queue) Settle(ctx context.Context, owner *string, it job.Interaction) error {
	lists := []List{ListRefused}
	if it.Responded {
		lists = []List{ListWrong, ListUnsure}
	}
	wordings := map[string]bool{refusalID(it): true}
	for _, list := range lists {
		more, _, err := q.wordings(ctx, list, owner, []string{refusalID(it)})
		if err != nil {
			return err
		}
		maps.Copy(wordings, more)
	}
	rctx, cancel := q.patience(ctx)
	defer cancel()
	pipe := q.redis.Pipeline()
	now := float64(q.now().UnixMilli())
	for id := range wordings {
		pipe.ZAdd(rctx, q.settledKey(), redis.Z{Score: now, Member: id})
	}
	pipe.ZRemRangeByRank(rctx, q.settledKey(), 0, -settledMost-1)
	pipe.Expire(rctx, q.settledKey(), 2*max(q.opt.LogRetention, time.Hour))
	if _, err := pipe.Exec(rctx); err != nil {
		return unavailable("settle a group", err)
	}
	for _, list := range lists {
		if err := q.deleteFrom(ctx, list, owner, wordings); err != nil {
			return err
		}
	}
	return nil
}

// wordings finds the groups that have any of ids among their wordings, and gives
// all of these.
func (q *Queue) wordings(ctx context.Context, list List, owner *string, ids []string) (all map[string]bool, groups int, err error) {
	open, err := q.unsettled(ctx, list, owner)
	if err != nil {
		return nil, 0, err
	}
	all = map[string]bool{}
	for _, g := range groupList(open) {
		has := func(id string) bool { return g.ID == id || slices.Contains(g.joined, id) }
		if !slices.ContainsFunc(ids, has) {
			continue
		}
		groups++
		all[g.ID] = true
		for _, id := range g.joined {
			all[id] = true
		}
	}
	return all, groups, nil
}

func (q *Queue) deleteFrom(ctx context.Context, list List, owner *string, wordings map[string]bool) error {
	var entries []string
	err := q.each(ctx, list, func(entry string, it job.Interaction) {
		if wordings[refusalID(it)] && (owner == nil || it.Owner == *owner) {
			entries = append(entries, entry)
		}
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(entries, 1000) {
		rctx, cancel := q.patience(ctx)
		err := q.redis.XDel(rctx, q.listKey(list), chunk...).Err()
		cancel()
		if err != nil {
			return unavailable("drop groups", err)
		}
	}
	return nil
}
