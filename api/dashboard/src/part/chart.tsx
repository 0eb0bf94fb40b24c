// Charts over time by uPlot, which is loaded with the first chart.
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { History } from '../types';
import { number } from '../words';

export interface Line { label: string; values: (number | null)[]; colour: '1' | '2' | '3'; fill?: boolean }
interface Props { title: string; at: number[]; lines: Line[]; format?: (v: number) => string; height?: number; steps?: boolean }

const css = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function Chart({ title, at, lines, format = number, height = 170, steps = false }: Props): VNode {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [scheme, setScheme] = useState(0);
  const shape = lines.map((l) => l.label).join('|');
  const data = [at, ...lines.map((l) => l.values)] as uPlot.AlignedData;

  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const turn = (): void => setScheme((n) => n + 1);
    dark.addEventListener('change', turn);
    return () => dark.removeEventListener('change', turn);
  }, []);

  useEffect(() => {
    let gone = false;
    let watch: ResizeObserver | undefined;
    void import('uplot').then(({ default: U }) => {
      const el = box.current;
      if (gone || !el) return;
      const axis = { stroke: css('--soft'), grid: { stroke: css('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
      plot.current = new U({
        width: Math.max(el.clientWidth, 120), height, padding: [8, 8, 0, 0],
        cursor: { y: false, points: { size: 6 } },
        legend: { show: lines.length > 1 },
        scales: { x: { time: !steps, range: (_u, min, max) => (!steps && max - min < 60 ? [max - 60, max] : [min, max]) }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
        axes: [{ ...axis, space: 60, ...(steps && { values: (_u, v) => v.map((n) => number(n).replace(/\.0+$/, '')) }) }, { ...axis, size: 58, values: (_u, v) => v.map((x) => format(x)) }],
        series: [{}, ...lines.map((l) => ({
          label: l.label, stroke: css('--chart-' + l.colour), width: 1.6, points: { show: at.length < 2 },
          fill: l.fill ? css('--chart-' + l.colour) + '22' : undefined, value: (_u: uPlot, v: number | null) => (v === null ? '–' : format(v)),
        }))],
      }, data, el);
      watch = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(el.clientWidth, 120), height }));
      watch.observe(el);
    });
    return () => {
      gone = true;
      watch?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, scheme, height]);

  useEffect(() => { plot.current?.setData(data); }, [at, lines]);

  const last = lines.map((l) => `${l.label} ${at.length ? format(l.values[at.length - 1] ?? 0) : 'none'}`).join(', ');
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={box} role="img" aria-label={`${title}. Now: ${last}.`} />
    </figure>
  );
}

// gapped puts a gap where nothing was noted for a while, such as while no server ran.
export function gapped(h: History): { at: number[]; figures: Record<string, (number | null)[]> } {
  const at: number[] = [], from: (number | null)[] = [];
  h.at.forEach((t, i) => {
    if (i > 0 && t - h.at[i - 1] > h.step_ms / 1000 * 3) { at.push(h.at[i - 1] + 1); from.push(null); }
    at.push(t);
    from.push(i);
  });
  return { at, figures: Object.fromEntries(Object.entries(h.figures).map(([name, list]) => [name, from.map((i) => (i === null ? null : list[i]))])) };
}

// Spark is a small line without axes.
export function Spark({ values }: { values: number[] }): VNode {
  const most = Math.max(...values, 1e-9);
  const step = 120 / Math.max(values.length - 1, 1);
  const points = values.map((v, i) => `${(i * step).toFixed(1)} ${(26 - (24 * v) / most).toFixed(1)}`).join(' L');
  return (
    <svg class="spark" viewBox="0 0 120 28" preserveAspectRatio="none" aria-hidden="true">
      {values.length > 1 && <><path class="area" d={`M0 28 L${points} L120 28 Z`} /><path class="edge" d={`M${points}`} /></>}
    </svg>
  );
}
