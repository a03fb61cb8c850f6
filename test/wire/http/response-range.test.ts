import { describe, expect, it } from 'vitest';
import { judgeResponse } from '../../../src/wire/http/response-range.ts';

const whole = { offset: 0, expectedBytes: 1000 };

describe('the head of an answer to a request for a file', () => {
  it('may name the coding of a file that is compressed anyway (AddEncoding of Apache httpd 2.4)', () => {
    const headers = { 'content-encoding': 'x-gzip', 'content-length': '1000' };
    expect(judgeResponse('a', 200, headers, whole)).toEqual({ skipBytes: 0 });
  });

  it.each(['990', '1010'])('names the coding where the size of %s bytes is wrong', (size) => {
    const headers = { 'content-encoding': 'gzip', 'content-length': size };
    expect(() => judgeResponse('a', 200, headers, whole)).toThrow('a (in Content-Encoding "gzip")');
  });

  it.each([201, 204, 304, 404, 410])('with status %i is refused', (status) => {
    expect(() => judgeResponse('a', status, {}, whole)).toThrow(`a answered with status ${status}`);
  });
});
