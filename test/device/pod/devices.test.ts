import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { appDevices, isDevicePath, matchesDevice } from '../../../src/device/pod/devices.ts';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { parsePodManifest } from '../../../src/image/appc/pod-manifest.ts';
import { imageId } from './demo.ts';

/** The result of an app's annotation, or the code and the last words of the refusal. */
function devicesOf(value: string): unknown {
  const annotations = [{ name: 'wherry/devices', value }];
  const manifest = {
    ...{ acVersion: '0.8.11', acKind: 'PodManifest' },
    apps: [{ name: 'web', image: { id: imageId }, annotations }],
  };
  const [app] = parsePodManifest(Buffer.from(JSON.stringify(manifest))).apps;
  if (app === undefined) throw new Error('no app');
  try {
    return appDevices(app);
  } catch (error) {
    if (!isRefusal(error, 'pod-manifest-invalid')) throw error;
    return /found (.*)$/.exec(error.message)?.[1];
  }
}

describe('wherry/devices', () => {
  it.each([
    ['/dev/ttyUSB0', [{ path: '/dev/ttyUSB0', access: 'rw' }]],
    [
      ' /dev/i2c-1:rw, /dev/hwrng:r',
      [
        { path: '/dev/i2c-1', access: 'rw' },
        { path: '/dev/hwrng', access: 'r' },
      ],
    ],
    [
      '/dev/serial/by-path/platform-3f980000.usb-usb-0:1.2:1.0-port0',
      [{ path: '/dev/serial/by-path/platform-3f980000.usb-usb-0:1.2:1.0-port0', access: 'rw' }],
    ],
  ])('%j names devices', (text, devices) => {
    expect(devicesOf(text)).toEqual(devices);
  });

  it.each([
    ...['', ',', 'ttyUSB0', '/dev', '/dev/', '/etc/passwd', '/dev/../etc/passwd', '/dev/./mem', '/dev/a//b'],
    ...['/dev/tty USB', '/dev/ttyUSB*', '/dev/%n', '/dev/a"b', '/dev/a\nb', '/dev/a:m', '/dev/a:rwm'],
    ...['/dev/null', '/dev/pts/0', '/dev/shm/x', '/dev/wherry/hosts', `/dev/${'a'.repeat(300)}`],
  ])('%j is refused', (text) => {
    expect(devicesOf(text)).toBe(JSON.stringify(text.split(',')[0]?.slice(0, 80)));
  });

  it.each(['/dev/a,/dev/a:r', '/dev/a/b,/dev/a', '/dev/a,/dev/a/b'])('%j names one twice', (text) => {
    expect(devicesOf(text)).toMatch(/^"\/dev\/a/);
  });
});

describe('a pattern of devices', () => {
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9.:-]{0,6}$/);

  it.each([
    ['/dev/ttyUSB*', '/dev/ttyUSB10', true],
    ['/dev/ttyUSB*', '/dev/ttyUSB', true],
    ['/dev/ttyUSB*', '/dev/ttyACM0', false],
    ['/dev/*', '/dev/snd/timer', false],
    ['/dev/snd/*', '/dev/snd/timer', true],
    ['/dev/a.c', '/dev/abc', false],
    ['/dev/video*', '/dev/v4l/video0', false],
  ])('%s has %s: %j', (pattern, path, expected) => {
    expect(matchesDevice(path, pattern)).toBe(expected);
  });

  it('without a star matches only itself', () => {
    fc.assert(
      fc.property(name, name, (one, other) => {
        expect(matchesDevice(`/dev/${one}`, `/dev/${other}`)).toBe(one === other);
      }),
    );
  });

  it('only matches paths with its beginning and end', () => {
    fc.assert(
      fc.property(name, name, name, (start, end, path) => {
        const has = matchesDevice(`/dev/${path}`, `/dev/${start}*${end}`);
        const fits = path.startsWith(start) && path.endsWith(end) && path.length >= start.length + end.length;
        expect(has).toBe(fits);
      }),
    );
  });

  it('matches only paths that units and scripts accept unquoted', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        if (isDevicePath(text)) expect(text).toMatch(/^\/dev\/[A-Za-z0-9._:+@=/-]+$/);
        expect(isDevicePath(`/dev/${text}\n`)).toBe(false);
      }),
    );
  });
});
