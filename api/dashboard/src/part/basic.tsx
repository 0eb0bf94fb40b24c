// Small parts that every page is made of.
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useTitle } from '../load';

// Head is the title of a page. It takes the focus when the page opens, so that
// the keyboard and screen readers begin there.
export function Head({ title, lead, children }: { title: string; lead?: ComponentChildren; children?: ComponentChildren }): VNode {
  useTitle(title);
  return (
    <header class="head">
      <div>
        <h1 id="title" tabIndex={-1}>{title}</h1>
        {lead && <p class="lead">{lead}</p>}
      </div>
      {children && <div class="line">{children}</div>}
    </header>
  );
}

export function Card({ title, children, id, aside, class: more = '' }: { title?: ComponentChildren; children: ComponentChildren; id?: string; aside?: ComponentChildren; class?: string }): VNode {
  return (
    <section class={'card ' + more} id={id}>
      {title && <div class="cardhead"><h2>{title}</h2>{aside}</div>}
      {children}
    </section>
  );
}

export function Tag({ kind, children }: { kind: string; children: ComponentChildren }): VNode {
  return <span class={'tag ' + kind}>{children}</span>;
}

// Bar shows a share, with words for those who do not see it.
export function Bar({ share, label, mark, kind = '' }: { share: number; label: string; mark?: number; kind?: string }): VNode {
  const at = (x: number): string => Math.max(0, Math.min(100, 100 * x)) + '%';
  return (
    <div class={'bar ' + kind} role="img" aria-label={label}>
      <i style={{ width: at(share) }} />
      {mark !== undefined && <u style={{ left: at(mark) }} />}
    </div>
  );
}

// Confirmed asks once more on the button itself, for what cannot be undone.
export function Confirmed({ children, sure, onClick, class: more = '', disabled }: { children: ComponentChildren; sure: string; onClick: () => void; class?: string; disabled?: boolean }): VNode {
  const [asked, setAsked] = useState(false);
  useEffect(() => {
    if (!asked) return;
    const t = setTimeout(() => setAsked(false), 5000);
    return () => clearTimeout(t);
  }, [asked]);
  return (
    <button type="button" class={more + (asked ? ' danger' : '')} disabled={disabled} onBlur={() => setAsked(false)}
      onClick={() => { if (asked) { setAsked(false); onClick(); } else setAsked(true); }}>
      {asked ? sure : children}
    </button>
  );
}

export function Field({ label, children, hint, class: more = '' }: { label: string; children: ComponentChildren; hint?: ComponentChildren; class?: string }): VNode {
  return <label class={'field ' + more}><span>{label}</span>{children}{hint && <small>{hint}</small>}</label>;
}

export function Search({ value, onInput, label }: { value: string; onInput: (v: string) => void; label: string }): VNode {
  return <input class="search" type="search" id="search" aria-label={label} placeholder={label} value={value} onInput={(e) => onInput(e.currentTarget.value)} />;
}

export function TopicPick({ value, topics, onPick, any = 'All topics', label = 'Topic' }: { value: string; topics: string[]; onPick: (t: string) => void; any?: string; label?: string }): VNode {
  const all = value && !topics.includes(value) ? [value, ...topics] : topics;
  return (
    <select aria-label={label} value={value} onChange={(e) => onPick(e.currentTarget.value)}>
      <option value="">{any}</option>
      {all.map((t) => <option value={t} key={t}>{t}</option>)}
    </select>
  );
}

// Scroll holds what may be wider than the page, in reach of the keyboard.
export function Scroll({ label, children }: { label: string; children: ComponentChildren }): VNode {
  return <div class="scroll" tabIndex={0} role="region" aria-label={label}>{children}</div>;
}

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }): VNode {
  const ref = useRef<HTMLDialogElement>(null);
  // Open before the next key can come: Esc pressed at once must find it open.
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby="dialogtitle" onClose={onClose} onClick={(e) => { if (e.target === ref.current) ref.current?.close(); }}>
      <div class="dialogbody">
        <div class="cardhead"><h2 id="dialogtitle">{title}</h2><button type="button" class="plain" onClick={() => ref.current?.close()}>Close</button></div>
        {children}
      </div>
    </dialog>
  );
}

export function KeyHelp({ keys, onClose }: { keys: [string, string][]; onClose: () => void }): VNode {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">{keys.map(([k, what]) => <div key={k}><dt>{k.split(' ').map((x) => <kbd key={x}>{x}</kbd>)}</dt><dd>{what}</dd></div>)}</dl>
    </Dialog>
  );
}

// More loads the next part of a list; in one, it is an item of it.
export function More({ next, onMore, item }: { next: string | null | undefined; onMore: () => void; item?: boolean }): VNode | null {
  if (!next) return null;
  const button = <button type="button" onClick={onMore}>Show more</button>;
  return item ? <li class="more">{button}</li> : <p class="more">{button}</p>;
}
