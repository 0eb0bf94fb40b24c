// Package redisreply reads the replies of scripts.
package redisreply

// Texts are the strings of a list in a reply; none where it is no list.
func Texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
