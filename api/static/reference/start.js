// Starts the renderer of the API reference: everything comes from this server,
// and requests go to this server only.
/* global Scalar */

// A person who has signed in may try requests by the session. A change needs its
// token, which pages of this server read from a cookie.
const signChange = ({ request }) => {
  const token = /(?:^|; )XSRF-TOKEN=([^;]+)/.exec(document.cookie);
  if (token && !['GET', 'HEAD', 'OPTIONS'].includes(request.method)) request.headers.set('X-CSRF-Token', token[1]);
};

Scalar.createApiReference('#reference', {
  url: '/openapi.yaml',
  baseServerURL: location.origin,
  servers: [{ url: location.origin, description: 'This server' }],
  withDefaultFonts: false,
  telemetry: false,
  proxyUrl: '',
  onBeforeRequest: signChange,
  hideClientButton: true,
  showDeveloperTools: 'never',
  agent: { disabled: true },
  mcp: { disabled: true },
  defaultHttpClient: { targetKey: 'shell', clientKey: 'curl' },
  hiddenClients: {
    c: true, clojure: true, csharp: true, dart: true, fsharp: true, http: true, java: true, kotlin: true, objc: true, ocaml: true, php: true, powershell: true, r: true,
    ruby: true, rust: true, swift: true, shell: ['wget', 'httpie'], python: ['aiohttp', 'httpx_async', 'httpx_sync'], js: ['xhr', 'axios', 'ofetch', 'jquery'], node: ['axios', 'ofetch', 'fetch'],
  },
  metaData: { title: 'API reference · NEXUS' },
});
