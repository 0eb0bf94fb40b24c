// Who is there? Shown in place of a page that needs a key.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useFocus } from '../load';
import { signIn } from '../session';
import { say } from '../words';
import { Head } from './basic';

export function SignIn({ after }: { after?: () => void }): VNode {
  const key = useFocus<HTMLInputElement>();
  const [fault, setFault] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (ev: Event): Promise<void> => {
    ev.preventDefault();
    const given = key.current!.value.trim();
    if (!given) return;
    setBusy(true);
    setFault('');
    try {
      await signIn(given);
      after?.();
    } catch (e) {
      setFault(say(e));
    }
    setBusy(false);
  };
  return (
    <div class="signin">
      <Head title="Sign in" lead="This server requires a key." />
      <form class="card" id="keyform" onSubmit={(e) => void submit(e)}>
        <label class="field"><span>Key</span><input id="key" ref={key} type="password" autocomplete="off" spellcheck={false} required /></label>
        {fault && <p class="note bad" role="alert">{fault}</p>}
        <div class="line"><button type="submit" class="main" disabled={busy}>Sign in</button></div>
        <p class="hint">Ask the administrator of this server for a key.</p>
      </form>
    </div>
  );
}
