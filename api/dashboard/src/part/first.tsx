// The first minute with an empty server.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { href } from '../place';
import { control } from '../server';
import { usePacks } from '../packs';
import { attempt } from '../undo';
import { plain, title } from '../words';

export function FirstMinute(): VNode {
  const packs = usePacks();
  const [started, setStarted] = useState('');
  const start = async (topic: string): Promise<void> => {
    if (await attempt(() => control('train_start', { topic }), `Learning ${plain(topic)}. It answers in a moment.`)) setStarted(topic);
  };
  return (
    <section class="card first" id="first" aria-labelledby="firsthead">
      <h2 id="firsthead" class="big">Your first minute</h2>
      <ol>
        <li><h3>Teach one answer</h3><p>A question, and what to say.</p><a class="button main" href={href('ask')}>Teach one</a></li>
        <li>
          <h3>Start a pack</h3><p>Ready-made lessons that come with nexus.</p>
          <div class="line">
            {(packs.data?.packs ?? []).map((p) => <button type="button" key={p} disabled={started !== ''} onClick={() => void start(p)}>{started === p ? 'Learning ' + plain(p) : title(p)}</button>)}
            {packs.fault && <small>The packs could not be listed.</small>}
          </div>
        </li>
        <li><h3>Bring your own</h3><p>A spreadsheet, an FAQ page, or an export of another bot.</p><a class="button" href={href('import')}>Drop a file</a></li>
        <li><h3>Ask</h3><p>In your own words. What it does not know, it refuses.</p><a class="button" href={href('ask')}>Ask something</a></li>
      </ol>
    </section>
  );
}
