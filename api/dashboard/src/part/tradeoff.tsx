// The risk-coverage curve with a threshold that can be moved along it before it is set.
import type { VNode } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import { control } from '../server';
import type { RiskChoice, RiskPoint, Risks } from '../types';
import { attempt, tell } from '../undo';
import { percent } from '../words';
import { Card } from './basic';

const wide = 640, high = 260, left = 52, right = 16, top = 12, low = 36;
const x = (share: number): number => left + share * (wide - left - right);

// choicesOf leaves out targets that lead to the same threshold as a stricter one.
export function choicesOf(r: Risks): RiskChoice[] {
  const sorted = [...r.choices].sort((a, b) => a.target_error - b.target_error);
  return sorted.filter((c, i) => i === 0 || c.threshold < sorted[i - 1].threshold || c.target_error === r.target_error);
}

const near = (list: RiskChoice[], distance: (c: RiskChoice) => number): number => list.reduce((best, c, i) => (distance(c) < distance(list[best]) ? i : best), 0);

export function Tradeoff({ r, onSet }: { r: Risks; onSet: () => void }): VNode {
  const choices = useMemo(() => choicesOf(r), [r]);
  const [picked, setPicked] = useState<number | null>(null);
  const svg = useRef<SVGSVGElement>(null);
  const dragging = useRef(false);
  const now = near(choices, (c) => Math.abs(c.target_error - r.target_error));
  const at = picked ?? now;
  const c = picked === null ? r as RiskPoint : choices[at];
  const most = Math.max(0.02, ...r.curve.map((p) => p.wrong), ...choices.map((p) => p.wrong));
  const y = (share: number): number => high - low - (share / most) * (high - low - top);
  const path = r.curve.map((p, i) => `${i ? 'L' : 'M'}${x(p.answered).toFixed(1)} ${y(p.wrong).toFixed(1)}`).join(' ');

  const follow = (e: PointerEvent): void => {
    const box = svg.current!.getBoundingClientRect();
    const share = ((e.clientX - box.left) / box.width * wide - left) / (wide - left - right);
    setPicked(near(choices, (p) => Math.abs(p.answered - share)));
  };
  const key = (e: KeyboardEvent): void => {
    const to: Record<string, number> = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageUp: at + 5, PageDown: at - 5, Home: 0, End: choices.length - 1 };
    if (!(e.key in to)) return;
    e.preventDefault();
    setPicked(Math.max(0, Math.min(choices.length - 1, to[e.key])));
  };
  const set = async (): Promise<void> => {
    const to = choices[at].target_error, before = r.set ? r.target_error : null;
    const back = (): void => void attempt(() => control('set_target', { target_error: before }), 'Undone.').then(onSet);
    if (await attempt(() => control('set_target', { target_error: to }))) {
      setPicked(null);
      tell(`At most ${percent(to)} wrong from now on.`, 'good', 8000, back);
      onSet();
    }
  };
  const words = `Threshold ${c.threshold.toFixed(3)}: ${percent(c.answered)} answered, ${percent(c.wrong)} answered wrong, ${percent(c.foreign_answered)} of unrelated questions answered`;
  return (
    <Card title="Risk and coverage" id="tradeoff" aside={<small>{r.own ? 'measured on your own lessons, each left out in turn' : 'estimated from similar deployments until you have more lessons'}</small>}>
      <svg ref={svg} class="tradeoff" viewBox={`0 0 ${wide} ${high}`}
        onPointerDown={(e) => { dragging.current = true; svg.current!.setPointerCapture(e.pointerId); follow(e); }}
        onPointerMove={(e) => { if (dragging.current) follow(e); }}
        onPointerUp={() => { dragging.current = false; svg.current!.querySelector<SVGGElement>('#handle')?.focus(); }}
        onPointerCancel={() => { dragging.current = false; }}>
        {[0, 0.25, 0.5, 0.75, 1].map((s) => <g key={s} class="grid"><line x1={x(s)} x2={x(s)} y1={top} y2={high - low} /><text x={x(s)} y={high - 18} text-anchor="middle">{percent(s)}</text></g>)}
        {[0, 0.5, 1].map((s) => <g key={s} class="grid"><line x1={left} x2={wide - right} y1={y(s * most)} y2={y(s * most)} /><text x={left - 6} y={y(s * most) + 4} text-anchor="end">{percent(s * most)}</text></g>)}
        <text class="axis" x={wide - right} y={high - 3} text-anchor="end">answered</text>
        <text class="axis" x={left + 4} y={top + 8}>answered wrong</text>
        <path class="curve" d={path} />
        {picked !== null && <circle class="before" cx={x(r.answered)} cy={y(r.wrong)} r={6} />}
        <g id="handle" role="slider" tabindex={0} aria-label="Threshold" aria-orientation="horizontal" aria-valuemin={0} aria-valuemax={choices.length - 1} aria-valuenow={at} aria-valuetext={words} onKeyDown={key}>
          <line class="drop" x1={x(c.answered)} x2={x(c.answered)} y1={top} y2={high - low} />
          <circle cx={x(c.answered)} cy={y(c.wrong)} r={16} class="reach" />
          <circle cx={x(c.answered)} cy={y(c.wrong)} r={8} />
        </g>
      </svg>
      <p id="chosen" aria-live="polite">{words}.{picked !== null && ` The promise would be at most ${percent(choices[at].target_error)} wrong.`}</p>
      <div class="line">
        <small>Drag the point, or move it with the arrow keys. Nothing changes until you set it.</small>
        <span class="gap" />
        {r.set && <button type="button" class="plain" id="unset" onClick={() => void attempt(() => control('set_target', { target_error: null }), 'Using the limit from the settings.').then(onSet)}>Use the limit from the settings</button>}
        {picked !== null && <button type="button" class="plain" onClick={() => setPicked(null)}>Cancel</button>}
        <button type="button" class="main" id="settarget" disabled={picked === null || at === now} onClick={() => void set()}>Set it</button>
      </div>
    </Card>
  );
}

// Reliability shows whether a confidence means what it says.
export function Reliability({ r }: { r: Risks }): VNode | null {
  const bins = r.reliability.filter((b) => b.prompts > 0);
  if (!bins.length) return null;
  const size = 240, pad = 34;
  const px = (s: number): number => pad + s * (size - pad - 8);
  const py = (s: number): number => size - pad - s * (size - pad - 8);
  return (
    <Card title="Is the confidence accurate?" id="reliability" aside={<small>{r.prompts} held-out questions</small>}>
      <div class="columns">
        <svg class="reliability" viewBox={`0 0 ${size} ${size}`} role="img" aria-label="Reliability diagram: how often the best answer was right, by confidence. The table beside it has the figures.">
          {[0, 0.5, 1].map((s) => <g key={s} class="grid"><line x1={px(0)} x2={px(1)} y1={py(s)} y2={py(s)} /><text x={pad - 5} y={py(s) + 4} text-anchor="end">{percent(s)}</text><text x={px(s)} y={size - 16} text-anchor="middle">{percent(s)}</text></g>)}
          {bins.map((b) => <rect key={b.from} class="bin" x={px(b.from) + 1} width={px(b.to) - px(b.from) - 2} y={py(b.right)} height={py(0) - py(b.right)} />)}
          <line class="ideal" x1={px(0)} y1={py(0)} x2={px(1)} y2={py(1)} />
          <text class="axis" x={px(1)} y={size - 3} text-anchor="end">confidence</text>
        </svg>
        <table>
          <thead><tr><th>Confidence</th><th class="num">Questions</th><th class="num">Right</th></tr></thead>
          <tbody>{bins.map((b) => <tr key={b.from}><td>{percent(b.confidence)}</td><td class="num">{b.prompts}</td><td class="num">{percent(b.right)}</td></tr>)}</tbody>
        </table>
      </div>
      <p class="hint">On the line, confidence matches accuracy. Above it, answers are right more often than stated.</p>
    </Card>
  );
}
