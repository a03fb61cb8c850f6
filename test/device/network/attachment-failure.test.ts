import { expect, it } from 'vitest';
import { attachmentFailure } from '../../../src/device/network/attachment-failure.ts';

it('the reason why an attachment failed is read from its output', () => {
  expect(attachmentFailure('pod-network-failed pod web: refused\n')).toEqual({
    code: 'pod-network-failed',
    message: 'pod web: refused',
  });
  for (const code of ['pod-port-taken', 'device-unsupported'])
    expect(attachmentFailure(`${code} why`)).toEqual({ code, message: 'why' });
  for (const text of [
    '',
    'pod-network-failed',
    'pod-network-failed ',
    'internal pod web',
    'pod-port-taken one\ntwo\n',
  ]) {
    expect(attachmentFailure(text)).toBeUndefined();
  }
});
