import { defineConfig } from 'vite';

// The built files are committed, so that `go build` needs no Node. The build
// must give the same bytes everywhere: no source maps, no times.
export default defineConfig({
  base: '/dashboard/',
  build: {
    outDir: '../static/dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // data: URLs for scripts and styles would breach the policy
    modulePreload: { polyfill: false }, // the polyfill is for browsers that are not supported anyway
    chunkSizeWarningLimit: 300, // kB before compression; a test bounds what is sent
  },
  server: {
    // `npx vite` beside a running nexus.
    proxy: { '/api': 'http://127.0.0.1:8000', '/docs': 'http://127.0.0.1:8000' },
  },
});
