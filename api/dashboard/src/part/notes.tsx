// What was just done, with Undo.
import type { VNode } from 'preact';
import { dismiss, notes } from '../undo';

export function Notes(): VNode {
  return (
    <div class="notes" role="status" aria-live="polite">
      {notes.value.map((n) => (
        <div class={'toast ' + n.kind} key={n.id}>
          <span>{n.text}</span>
          {n.undo ? <button type="button" onClick={n.undo}>Undo <kbd>U</kbd></button>
            : <button type="button" class="plain" aria-label="Close this message" onClick={() => dismiss(n.id)}>×</button>}
        </div>
      ))}
    </div>
  );
}
