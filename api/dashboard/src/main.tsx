import { render } from 'preact';
import './style/base.css';
import './style/frame.css';
import './style/part.css';
import './style/page.css';
import { App } from './app';
import { follow } from './live';

const root = document.getElementById('app')!;
root.replaceChildren();
render(<App />, root);
void follow();
