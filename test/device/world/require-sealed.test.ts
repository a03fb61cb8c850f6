import { describe, expect, it } from 'vitest';
import { requireSealed } from '../../../src/device/world/require-sealed.ts';
import { CrashingDisk } from '../store/crashing-disk.ts';
import { imageIdOf } from '../deploy/ids.ts';

describe('an app with secrets [C154]', () => {
  const service = { app: 'web', unit: 'wherry-pod-web.service', imageId: imageIdOf('web') };

  it('is refused before any change if the device lacks a value', async () => {
    const disk = new CrashingDisk();
    await disk.write('/secrets/aa.cred', Buffer.from('sealed'));
    const pod = (...secrets: string[]) => ({ name: 'shop', services: [{ ...service, secrets }] });
    await requireSealed(pod('aa'), disk, '/secrets');
    await requireSealed({ name: 'shop', services: [service] }, disk, '/secrets');
    await expect(requireSealed(pod('aa', 'bb'), disk, '/secrets')).rejects.toMatchObject({
      code: 'secret-missing',
      message: expect.stringContaining('app web of pod shop needs the value bb') as string,
    });
  });
});
