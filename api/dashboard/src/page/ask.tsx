import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { topicNames } from '../topics';
import { href, param, view } from '../place';
import { post } from '../server';
import type { Asked, Job } from '../types';
import { answers, follow } from '../follow';
import { useFocus } from '../load';
import { attempt } from '../undo';
import { many, number, reasonOf, say, span } from '../words';
import { Bar, Card, Field, Head, TopicPick } from '../part/basic';


export function Ask(): VNode {
  return (
    <>
      <Head title="Ask and teach" lead="Ask as your users would. What is refused can be taught right here." />
      <div class="columns">
        <AskCard />
        <TeachCard />
      </div>
    </>
  );
}

interface Line { prompt: string; got: Asked | null; fault: string }

function AskCard(): VNode {
  const [prompt, setPrompt] = useState(param('q'));
  const [lines, setLines] = useState<Line[]>([]);
  const [busy, setBusy] = useState(false);
  const topic = param('topic');
  const box = useRef<HTMLTextAreaElement>(null);

  const ask = async (): Promise<void> => {
    const text = prompt.trim();
    if (!text || busy) return;
    setBusy(true);
    view({ q: text });
    const line: Line = { prompt: text, got: null, fault: '' };
    try {
      const got = await post<Asked | Job>('/api/interact', topic ? { prompt: text, topic } : { prompt: text });
      line.got = 'responded' in got ? got : ((await follow(got.id, () => undefined)).result as Asked | null);
      if (!line.got) line.fault = 'The job ended without an answer.';
    } catch (e) {
      line.fault = say(e);
    }
    setLines((old) => [line, ...old].slice(0, 20));
    setBusy(false);
  };

  return (
    <Card title="Ask" id="ask">
      <form onSubmit={(e) => { e.preventDefault(); void ask(); }}>
        <Field label="Prompt">
          <textarea id="prompt" ref={box} rows={2} maxLength={8000} placeholder="How do I reset my password?" required value={prompt} onInput={(e) => setPrompt(e.currentTarget.value)}
            onKeyDown={(e) => { if (e.key === 'Enter' && !e.shiftKey) { e.preventDefault(); void ask(); } }} />
        </Field>
        <div class="line">
          <TopicPick label="Answer from this topic only" value={topic} topics={topicNames()} any="Any topic" onPick={(t) => view({ topic: t })} />
          <span class="gap" />
          <button type="submit" class="main" disabled={busy}>{busy ? 'Asking…' : 'Ask'}</button>
        </div>
      </form>
      <div class="asked" id="answer" aria-live="polite">
        {lines.map((l, i) => <Reply key={lines.length - i} line={l} newest={i === 0} />)}
        {!lines.length && <p class="hint">The answer appears here with its sources, or the reason of a refusal.</p>}
      </div>
    </Card>
  );
}

function Reply({ line, newest }: { line: Line; newest: boolean }): VNode {
  const a = line.got;
  if (!a) return <article class="reply"><h3>{line.prompt}</h3><p class="note bad">{line.fault}</p></article>;
  const compared = a.responded ? 'at or above' : 'below';
  return (
    <article class={'reply ' + (a.responded ? 'answered' : 'refused')}>
      <h3>{line.prompt}</h3>
      <p class="verdict">{a.responded ? 'Answered' : 'Refused: ' + reasonOf(a.reason)}{a.topic && <span class="soft"> · {a.topic}</span>}</p>
      <p class="text">{a.response}</p>
      <Bar share={a.confidence} mark={a.threshold} kind={a.responded ? 'good' : 'warn'} label={`Confidence ${a.confidence.toFixed(3)}, ${compared} the threshold ${a.threshold.toFixed(3)}`} />
      <p class="legend"><span>confidence {a.confidence.toFixed(3)}</span><span>threshold {a.threshold.toFixed(3)}</span></p>
      {a.sources.length > 0 && (
        <details open={newest}>
          <summary>{a.responded ? 'Sources' : 'Nearest lessons'}</summary>
          <ul class="sources">{a.sources.map((s) => <li key={s.lesson_id}><a href={href('lessons', { q: s.prompt })}>{s.prompt}</a><span>{s.similarity.toFixed(3)}</span></li>)}</ul>
        </details>
      )}
      <Verdict a={a} prompt={line.prompt} />
      <p class="meta"><span>{number(a.timing.total_ms)} ms</span><span>depth {a.flow.depth}{a.flow.converged ? '' : ', did not converge'}</span></p>
    </article>
  );
}

// Verdict takes what a person thinks of the answer.
function Verdict({ a, prompt }: { a: Asked; prompt: string }): VNode {
  const [said, setSaid] = useState('');
  const [wrong, setWrong] = useState(false);
  const tell = async (body: { correct: boolean; response?: string }, done: string): Promise<void> => {
    if (await attempt(() => post(`/api/interactions/${encodeURIComponent(a.interaction_id)}/feedback`, body))) { setSaid(done); setWrong(false); }
  };
  if (said) return <p class="hint" role="status">{said}</p>;
  if (wrong) {
    return <Right prompt={prompt} onCancel={() => setWrong(false)}
      onSend={(response) => void tell(response ? { correct: false, response } : { correct: false }, response ? 'Thank you. The right answer is being learned.' : 'Feedback saved.')} />;
  }
  return (
    <div class="line small">
      <button type="button" onClick={() => void tell({ correct: true }, 'Thank you. Marked as right.')}>{a.responded ? 'That is right' : 'Right to refuse'}</button>
      <button type="button" onClick={() => setWrong(true)}>{a.responded ? 'That is wrong' : 'It should have answered'}</button>
    </div>
  );
}

// Right takes the right answer, if the reader knows it.
function Right({ prompt, onSend, onCancel }: { prompt: string; onSend: (text: string) => void; onCancel: () => void }): VNode {
  const [text, setText] = useState('');
  const box = useFocus<HTMLTextAreaElement>();
  return (
    <form class="stack" onSubmit={(e) => { e.preventDefault(); onSend(text.trim()); }}>
      <Field label="The right answer, if you know it"><textarea rows={2} value={text} ref={box} onInput={(e) => setText(e.currentTarget.value)} aria-label={'The right answer to ' + prompt} /></Field>
      <div class="line"><button type="submit" class="main">Send</button><button type="button" class="plain" onClick={onCancel}>Cancel</button></div>
    </form>
  );
}

function TeachCard(): VNode {
  const [phrasings, setPhrasings] = useState(param('teach'));
  const [response, setResponse] = useState('');
  const [topic, setTopic] = useState(param('topic'));
  const [refuse, setRefuse] = useState(false);
  const [draft, setDraft] = useState(false);
  const [said, setSaid] = useState<{ text: string; kind: string } | null>(null);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);

  const prompts = phrasings.split('\n').map((p) => p.trim()).filter(Boolean);
  // A pasted table is no list of phrasings.
  const table = prompts.length > 1 && prompts.filter((p) => /[,;\t|]/.test(p)).length === prompts.length && /^\W*(prompt|question|utterance|q)\b/i.test(prompts[0]);

  const teach = async (): Promise<void> => {
    if (!prompts.length) { setSaid({ text: 'Write at least one question.', kind: 'bad' }); return; }
    if (!refuse && !response.trim()) { setSaid({ text: 'Write the answer, or choose to refuse.', kind: 'bad' }); return; }
    const lessons = prompts.map((p) => ({ prompt: p, response: refuse ? null : response.trim(), ...(draft && { draft }) }));
    setSaid({ text: 'Storing…', kind: '' });
    stop.current?.abort();
    stop.current = new AbortController();
    const began = Date.now();
    try {
      const j = await post<Job>('/api/lessons', topic.trim() ? { topic: topic.trim(), lessons } : { lessons });
      setSaid({ text: 'Stored safely. Waiting for the trainer…', kind: '' });
      const last = await follow(j.id, (now) => { if (now.waiting_for) setSaid({ text: `Stored safely. It is learned as soon as it can be: ${now.waiting_for}.`, kind: '' }); }, answers, stop.current.signal);
      if (last.state === 'failed' || last.state === 'canceled') setSaid({ text: last.error?.detail ?? 'It was canceled.', kind: 'bad' });
      else {
        setSaid({ text: draft ? `Kept as a draft: ${many(lessons.length, 'lesson')}. Publish it on the page Answers.` : `${many(lessons.length, 'lesson')} ${lessons.length === 1 ? 'answers' : 'answer'} from now on (after ${span((Date.now() - began) / 1000)}).`, kind: 'good' });
        setPhrasings('');
        setResponse('');
      }
    } catch (e) {
      if (!stop.current.signal.aborted) setSaid({ text: say(e), kind: 'bad' });
    }
  };

  return (
    <Card title="Teach" id="teach">
      <form onSubmit={(e) => { e.preventDefault(); void teach(); }}>
        <Field label="Questions, one phrasing a line" hint="Three or more phrasings make it far more likely that the answer is found.">
          <textarea id="phrasings" rows={4} placeholder={'How do I reset my password?\nforgot my password'} value={phrasings} onInput={(e) => setPhrasings(e.currentTarget.value)} />
        </Field>
        {table && <p class="note">This looks like a table. <a href={href('import')}>Import it instead</a>, so that its header is not taught as a question.</p>}
        <Field label="Answer, given word for word">
          <textarea id="response" rows={3} maxLength={64000} placeholder="Open Settings, then Security." disabled={refuse} value={response} onInput={(e) => setResponse(e.currentTarget.value)} />
        </Field>
        <div class="line">
          <Field label="Topic" class="inline"><input id="teachtopic" maxLength={128} placeholder="support" list="topics" value={topic} onInput={(e) => setTopic(e.currentTarget.value)} /></Field>
          <datalist id="topics">{topicNames().map((t) => <option value={t} key={t} />)}</datalist>
          <label class="check"><input id="refuse" type="checkbox" checked={refuse} onChange={(e) => setRefuse(e.currentTarget.checked)} /> Refuse these instead</label>
          <label class="check"><input id="asdraft" type="checkbox" checked={draft} onChange={(e) => setDraft(e.currentTarget.checked)} /> As a draft</label>
          <span class="gap" />
          <button type="submit" class="main">Teach</button>
        </div>
      </form>
      <p id="taught" class={'result ' + (said?.kind ?? '')} aria-live="polite">{said?.text}</p>
    </Card>
  );
}
