// Package redisfault turns what Redis said, or that it said nothing, into the error
// that a caller gets.
package redisfault

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nexus-continuum/nexus/job"
)

// known are the messages with which Redis responds without doing what it was asked.
var known = []struct{ says, detail string }{
	{"OOM ", "Redis is out of memory (maxmemory) and takes no writes; raise maxmemory, or lower NEXUS_RESULT_MAX_MB or NEXUS_LOG_LENGTH"},
	{"READONLY ", "Redis takes no writes: it is a read-only replica; NEXUS_REDIS_URL must lead to the primary"},
	{"MISCONF ", "Redis cannot write to its disk and takes no writes (MISCONF); look at its log and its disk"},
	{"NOREPLICAS ", "Redis has too few replicas and takes no writes (min-replicas-to-write)"},
	{"LOADING ", "Redis is loading its data; it takes no commands until that is done"},
	{"MASTERDOWN ", "Redis has lost its primary and takes no writes"},
	{"CLUSTERDOWN ", "the Redis Cluster is down: a part of its slots is served by nobody"},
	{"NOAUTH ", "Redis wants a password; write it into NEXUS_REDIS_URL"},
	{"WRONGPASS ", "Redis refuses the user or the password in NEXUS_REDIS_URL"},
}

// Unavailable is the error that a caller gets when Redis fails. tried says what was to
// be done; only the cause shows it.
func Unavailable(tried string, err error) *job.Error {
	return job.Errorf(job.CodeUnavailable, "%s; try again shortly", reason(err)).
		After(time.Second).Because(fmt.Errorf("%s: %w", tried, err))
}

// Denied reports whether Redis refused for a missing permission.
func Denied(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "NOPERM") || strings.Contains(err.Error(), "The user executing the script can't"))
}

// reason says in words for people why Redis refused.
func reason(err error) string {
	if answer, ok := errors.AsType[redis.Error](err); ok {
		text := answer.Error()
		for _, k := range known {
			if strings.HasPrefix(text, k.says) || strings.Contains(text, "-"+k.says) {
				return k.detail
			}
		}
		if Denied(err) {
			return "the Redis user lacks a right that is needed; GET /readyz names it"
		}
	}
	return "the queue cannot be reached just now"
}
