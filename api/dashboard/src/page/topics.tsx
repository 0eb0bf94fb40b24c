import type { VNode } from 'preact';
import { status } from '../live';
import { href, param } from '../place';
import type { Answer, Topic } from '../types';
import { useLoad } from '../load';
import { path } from '../list';
import { usePacks } from '../packs';
import { count, cut, many, percent } from '../words';
import { Bar, Card, Head, Scroll } from '../part/basic';
import { Await, Empty } from '../part/state';

interface Collision { answers: [string, string]; similarity: number; topic: string }

export function Topics(): VNode {
  const open = param('topic');
  const load = useLoad<{ topics: Topic[] }>('/api/topics');
  return (
    <>
      <Head title="Topics" lead="How well each topic is covered, and what to improve next." />
      <Await load={load} what="the topics" empty={(d) => (d.topics.length ? null : <Empty title="No topic yet">A topic appears with its first lesson. <a href={href('ask')}>Teach one</a></Empty>)}>
        {(d) => (
          <>
            <Card>
              <Scroll label="Topics">
                <table class="wide" id="topictable">
                  <thead><tr><th>Topic</th><th class="num">Answers</th><th class="num">Lessons</th><th>Expected</th><th class="num">One phrasing only</th><th class="num">Never given</th><th class="num">Collisions</th></tr></thead>
                  <tbody>
                    {d.topics.map((t) => (
                      <tr key={t.topic} aria-current={t.topic === open ? 'true' : undefined}>
                        <td><a href={href('topics', { topic: t.topic })}><b>{t.topic || 'no topic'}</b></a></td>
                        <td class="num">{count(t.answers)}</td>
                        <td class="num"><a href={href('lessons', { topic: t.topic })}>{count(t.lessons)}</a></td>
                        <td>{t.expected ? <><Bar share={t.expected.answered} kind="good" label={`${percent(t.expected.answered)} answered`} /><small>{percent(t.expected.answered)} answered, {percent(t.expected.wrong)} wrong</small></> : <small>not measured yet</small>}</td>
                        <td class="num">{t.single_phrasing ? <a class="warn" href={href('answers', { topic: t.topic, show: 'single_phrasing' })}>{count(t.single_phrasing)}</a> : '0'}</td>
                        <td class="num">{t.never_hit ? <a href={href('answers', { topic: t.topic, show: 'never_hit' })}>{count(t.never_hit)}</a> : '0'}</td>
                        <td class="num">{t.collisions?.length ? <a class="warn" href={href('topics', { topic: t.topic })}>{count(t.collisions.length)}</a> : '0'}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Scroll>
            </Card>
            <Next topics={d.topics} />
            {open && <One topic={open} />}
          </>
        )}
      </Await>
    </>
  );
}

// Next is what to improve first.
function Next({ topics }: { topics: Topic[] }): VNode | null {
  const teacher = usePacks().data?.teacher;
  const target = status.value?.model.target_error ?? 0.05;
  const advice: { key: string; text: VNode }[] = [];
  for (const t of topics) {
    if (t.expected && t.expected.wrong > target) advice.push({ key: t.topic + 'w', text: <><b>{t.topic}</b>: {percent(t.expected.wrong)} of the answers may be wrong. Add phrasings that tell its answers apart.</> });
    if (t.expected && t.expected.answered < 0.5) advice.push({ key: t.topic + 'c', text: <><b>{t.topic}</b>: only {percent(t.expected.answered)} of the questions would be answered. <a href={href('answers', { topic: t.topic })}>Add phrasings</a>.</> });
    if (t.collisions?.length) advice.push({ key: t.topic + 'k', text: <><b>{t.topic || 'no topic'}</b>: {many(t.collisions.length, 'pair')} of answers are easily confused. <a href={href('topics', { topic: t.topic })}>Look at them</a>, and add phrasings that show the difference.</> });
    if (t.single_phrasing) advice.push({ key: t.topic + 's', text: <><b>{t.topic || 'no topic'}</b>: {many(t.single_phrasing, 'answer')} with one phrasing. <a href={href('answers', { topic: t.topic, show: 'single_phrasing' })}>Two more each</a> make them far more likely to be found{teacher && ', and the teacher can suggest them'}.</> });
    if (t.never_hit && t.never_hit < t.answers) advice.push({ key: t.topic + 'n', text: <><b>{t.topic || 'no topic'}</b>: {many(t.never_hit, 'answer')} never given. <a href={href('answers', { topic: t.topic, show: 'never_hit' })}>See</a> whether people ask for them in other words, or not at all.</> });
  }
  if (!advice.length) return null;
  return <Card title="What to improve next"><ul class="advice">{advice.slice(0, 8).map((a) => <li key={a.key}>{a.text}</li>)}</ul></Card>;
}

function One({ topic }: { topic: string }): VNode {
  const load = useLoad<Topic>('/api/topics/' + encodeURIComponent(topic));
  return (
    <Card title={`Collisions in ${topic}`} aside={<a class="button plain" href={href('topics')}>Close</a>}>
      <Await load={load} what="this topic" empty={(t) => (t.collisions?.length ? null : <p class="hint">No answers of this topic are easily confused.</p>)}>
        {(t) => <ul class="rows">{t.collisions!.map((c) => <Pair key={c.answers.join()} c={{ ...c, topic }} />)}</ul>}
      </Await>
    </Card>
  );
}

function Pair({ c }: { c: Collision }): VNode {
  return (
    <li class="pair">
      <span><Short id={c.answers[0]} /><Short id={c.answers[1]} /></span>
      <small>{percent(c.similarity)} alike</small>
    </li>
  );
}

function Short({ id }: { id: string }): VNode {
  const load = useLoad<Answer>(path('/api/answers/' + encodeURIComponent(id), {}));
  return <a href={href('answers', { id })}>{load.data ? cut(load.data.response ?? 'refuses on purpose', 120) : 'Open this answer'}</a>;
}
