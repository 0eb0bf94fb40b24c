package trainer

// Waiting is how many requests the actor has not looked at yet.
func (t *Trainer) Waiting() int { return len(t.requests) }
