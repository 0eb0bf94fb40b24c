package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// historyTimeout is how long reading or writing the stored history may take.
const historyTimeout = 2 * time.Second

// keptHistory stores full points of the history in Redis: a stream for each span, whose
// ids are the beginnings of the steps. All API processes note the same cluster, so the
// first of them to store a step is enough.
type keptHistory struct {
	client redis.UniversalClient
	prefix string
	log    *slog.Logger
}

// save stores points. What Redis does not take is missing after a restart only.
func (k *keptHistory) save(ctx context.Context, ended []full) {
	if len(ended) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	pipe := k.client.Pipeline()
	for _, f := range ended {
		line, err := json.Marshal(append([]float64{float64(f.at)}, f.figures[:]...))
		if err != nil {
			k.log.Warn("a point of the history cannot be written", "error", err)
			return
		}
		id := fmt.Sprintf("%d-1", time.Unix(f.at, 0).Truncate(f.span.step).UnixMilli())
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: k.prefix + f.span.name, ID: id, MaxLen: int64(f.span.length), Approx: true, Values: []any{"v", line}})
	}
	cmds, _ := pipe.Exec(ctx)
	for _, c := range cmds {
		// An id that is not newer was stored by another process.
		if err := c.Err(); err != nil && !strings.Contains(err.Error(), "equal or smaller") {
			k.log.Debug("points of the history were not stored", "error", err)
			return
		}
	}
}

// load puts the stored points in front of those that were noted since the start. It
// reports whether they could be read.
func (k *keptHistory) load(ctx context.Context, h *history) bool {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	for _, s := range h.spans {
		found, err := k.client.XRevRangeN(ctx, k.prefix+s.name, "+", "-", int64(s.length)).Result()
		if err != nil {
			k.log.Debug("the history before the start cannot be read yet", "error", err)
			return false
		}
		points := make([]point, 0, len(found))
		for _, m := range slices.Backward(found) {
			v, _ := m.Values["v"].(string)
			var line []float64
			if json.Unmarshal([]byte(v), &line) != nil || len(line) < 2 {
				continue // of another version
			}
			p := point{at: int64(line[0])}
			copy(p.figures[:], line[1:])
			points = append(points, p)
		}
		h.before(s, points)
	}
	return true
}
