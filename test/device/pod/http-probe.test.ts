import { describe, expect, it } from 'vitest';
import { parseHttpProbe } from '../../../src/device/pod/http-probe.ts';

describe('an HTTP probe', () => {
  it.each([
    ['8080/healthz', { port: 8080, path: '/healthz' }],
    ['80', { port: 80, path: '/' }],
    ['0/x', undefined],
    ['65536/', undefined],
    ['80/ x', undefined],
    ['example.com/', undefined],
  ])('%s is read', (text, expected) => {
    expect(parseHttpProbe(text)).toEqual(expected);
  });
});
