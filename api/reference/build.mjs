// Fetches the renderer of /docs and puts it where the binary embeds it: one
// script, compressed. Run by make reference; nothing else of the package is needed.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const version = '1.46.4';
const integrity = 'sha512-EpCcOG15Ry8DKNs/f5AdRA97s1B5kGPekzANpnK0j1IpyU4Sb/mfdyfB00WC+vUo7hfc4BFRSkkiPa5SSM7fng==';

const dir = mkdtempSync(join(tmpdir(), 'reference-'));
try {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', dir, '@scalar/api-reference@' + version]);
  const file = join(dir, 'scalar-api-reference-' + version + '.tgz');
  const got = 'sha512-' + createHash('sha512').update(readFileSync(file)).digest('base64');
  if (got !== integrity) throw new Error('the package is not the one that was chosen: ' + got);
  execFileSync('tar', ['-xzf', file, '-C', dir, 'package/dist/browser/standalone.js']);
  const packed = gzipSync(readFileSync(join(dir, 'package/dist/browser/standalone.js')), { level: 9 });
  packed[9] = 255; // names the system that packed it: any
  mkdirSync(new URL('../static/reference', import.meta.url), { recursive: true });
  writeFileSync(new URL('../static/reference/scalar.js.gz', import.meta.url), packed);
} finally {
  rmSync(dir, { recursive: true });
}
