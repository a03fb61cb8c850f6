import { describe, expect, it } from 'vitest';
import { parseExecProbe, parseHttpProbe, parseTcpProbe } from '../../../src/device/pod/probe.ts';

describe('a probe', () => {
  it.each([
    ['8080/healthz', { kind: 'http', port: 8080, path: '/healthz' }],
    ['80', { kind: 'http', port: 80, path: '/' }],
    ['0/x', undefined],
    ['65536/', undefined],
    ['080/x', undefined],
    ['80/ x', undefined],
    ['80/x?y=1#z', undefined],
    ['80/!"$~', { kind: 'http', port: 80, path: '/!"$~' }],
    ['example.com/', undefined],
  ])('by HTTP, %s, is read', (text, expected) => {
    expect(parseHttpProbe(text)).toEqual(expected);
  });

  it.each([
    ['5432', { kind: 'tcp', port: 5432 }],
    ['0', undefined],
    ['65536', undefined],
    ['05432', undefined],
    ['5432/', undefined],
  ])('by TCP, %s, is read', (text, expected) => {
    expect(parseTcpProbe(text)).toEqual(expected);
  });

  it.each([
    ['["/bin/check", "-q", ""]', ['/bin/check', '-q', '']],
    ['[]', []],
    ['/bin/check -q', undefined],
    ['{"exec": []}', undefined],
    ['["/bin/check", 1]', undefined],
    ['[""]', undefined],
    [String.raw`["/bin/check\u0000"]`, undefined],
    [JSON.stringify(['x'.repeat(5000)]), undefined],
    [JSON.stringify(Array(65).fill('x')), undefined],
  ])('by a program, %.40s, is read', (text, command) => {
    expect(parseExecProbe(text)).toEqual(command === undefined ? undefined : { kind: 'exec', command });
  });
});
