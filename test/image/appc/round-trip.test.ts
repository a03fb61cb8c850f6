import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTimestamp } from '../../../src/image/appc/annotations.ts';
import {
  parseAcIdentifier,
  parseAcName,
  parseImageId,
  sanitizeAcIdentifier,
  sanitizeAcName,
} from '../../../src/image/appc/identifiers.ts';
import { parseImageManifest, serializeImageManifest } from '../../../src/image/appc/image-manifest.ts';
import { parsePodManifest, serializePodManifest } from '../../../src/image/appc/pod-manifest.ts';
import type {
  App,
  ImageManifest,
  Isolator,
  JsonValue,
  NameValue,
  PodManifest,
  Port,
  UserMap,
  Volume,
} from '../../../src/image/appc/types.ts';
import { jsonText } from '../../../src/image/appc/json-text.ts';
import { parseJson } from '../../../src/image/appc/json.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';

// Many cases on a busy machine may take longer than the runner's default of 5 s.

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

const part = fc.stringMatching(/^[a-z0-9]{1,8}$/);
const acName = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parseAcName(parts.join('-')));
const acIdentifier = fc
  .array(fc.tuple(part, fc.constantFrom('-', '.', '_', '~', '/', '/~')), { minLength: 1, maxLength: 4 })
  .map((parts) =>
    parseAcIdentifier(
      parts
        .map(([text, mark]) => text + mark)
        .join('')
        .replace(/[^a-z0-9]+$/, ''),
    ),
  );
const imageId = fc.stringMatching(/^[0-9a-f]{128}$/).map((hex) => parseImageId(`sha512-${hex}`));
const anyText = fc.string({ unit: 'grapheme', maxLength: 20 });
const textWithoutNul = anyText.map((text) => text.replaceAll('\0', ''));
const path = fc
  .array(
    fc.stringMatching(/^[ -.0-~]{1,8}$/).filter((step) => step !== '..'),
    { maxLength: 4 },
  )
  .map((steps) => `/${steps.join('/')}`);
const accountId = fc.nat({ max: 4294967294 });
const userMap = fc
  .dictionary(fc.oneof(anyText, fc.constant('__proto__')), anyText, { maxKeys: 3, noNullPrototype: false })
  .map((map): UserMap => Object.assign(Object.create(null) as Record<string, string>, map));
const json: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 10n ** 64n - 1n }),
    fc.bigInt({ min: 1n - 10n ** 64n, max: -(2n ** 53n) }),
    fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }).map((number) => number + 0),
    anyText,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(anyText, tie('value'), { maxKeys: 3 }),
  ),
})).value;

const uniqueBy = <T>(member: fc.Arbitrary<T>, key: (value: T) => string): fc.Arbitrary<T[]> =>
  fc.uniqueArray(member, { maxLength: 3, selector: key });
const byName = ({ name }: { readonly name: string }): string => name;
const pair = fc.record({
  name: acIdentifier.map((name) => parseAcIdentifier(`x.${name}`)),
  value: anyText,
});
const annotations: fc.Arbitrary<NameValue[]> = uniqueBy(pair, byName);
const labels: fc.Arbitrary<NameValue[]> = fc
  .tuple(
    uniqueBy(pair, byName),
    fc.constantFrom(
      [],
      [['os', 'linux']],
      [
        ['os', 'linux'],
        ['arch', 'armv7l'],
      ],
    ),
  )
  .map(([free, platform]) => [
    ...free,
    ...platform.map(([name = '', value = '']) => ({ name: parseAcIdentifier(name), value })),
  ]);
const isolators: fc.Arbitrary<Isolator[]> = fc
  .tuple(
    fc.nat(100_000),
    fc.array(fc.record({ name: pair.map(byName).map((name) => parseAcIdentifier(name)), value: json }), {
      maxLength: 3,
    }),
  )
  .map(([limit, unknown]) => [
    { name: parseAcIdentifier('resource/cpu'), value: { limit: `${limit + 1}m` } },
    ...unknown,
  ]);
const port: fc.Arbitrary<Port> = fc.record({
  name: acName,
  protocol: fc.constantFrom('tcp', 'udp', 'sctp'),
  port: fc.integer({ min: 1, max: 60000 }),
  count: fc.integer({ min: 1, max: 5000 }),
  socketActivated: fc.boolean(),
});
const app = (ports: fc.Arbitrary<Port[]>): fc.Arbitrary<App> =>
  fc.record(
    {
      exec: fc.array(
        textWithoutNul.map((text) => `x${text}`),
        { maxLength: 3 },
      ),
      user: fc.oneof(part, path),
      group: fc.oneof(part, path),
      supplementaryGids: fc.array(accountId, { maxLength: 3 }),
      eventHandlers: uniqueBy(
        fc.record({
          name: fc.constantFrom('pre-start' as const, 'post-stop' as const),
          exec: fc.tuple(part),
        }),
        byName,
      ),
      workingDirectory: path,
      environment: uniqueBy(
        fc.record({ name: fc.stringMatching(/^[A-Za-z_][A-Za-z_0-9.-]{0,8}$/), value: textWithoutNul }),
        byName,
      ),
      isolators,
      mountPoints: uniqueBy(fc.record({ name: acName, path, readOnly: fc.boolean() }), byName),
      ports,
      userAnnotations: userMap,
      userLabels: userMap,
    },
    {
      requiredKeys: [
        ...(['exec', 'user', 'group', 'supplementaryGids', 'eventHandlers', 'workingDirectory'] as const),
        ...(['environment', 'isolators', 'mountPoints', 'ports'] as const),
      ],
    },
  );
const imageManifest: fc.Arbitrary<ImageManifest> = fc.record(
  {
    acVersion: fc.constantFrom('0.8.11', '0.5.1', '0.8.11+git'),
    name: acIdentifier,
    labels,
    app: app(uniqueBy(port, byName)),
    dependencies: fc.array(
      fc.record(
        { imageName: acIdentifier, imageId, labels, sizeBytes: fc.bigInt(0n, 2n ** 63n - 1n) },
        { requiredKeys: ['imageName', 'labels'] },
      ),
      { maxLength: 3 },
    ),
    pathWhitelist: fc.array(path, { maxLength: 3 }),
    annotations,
  },
  { requiredKeys: ['acVersion', 'name', 'labels', 'dependencies', 'pathWhitelist', 'annotations'] },
);
const volume: fc.Arbitrary<Volume> = fc.oneof(
  fc.record({
    kind: fc.constant('empty' as const),
    name: acName,
    readOnly: fc.boolean(),
    mode: fc.nat(0o7777),
    uid: accountId,
    gid: accountId,
  }),
  fc.record({
    kind: fc.constant('host' as const),
    name: acName,
    readOnly: fc.boolean(),
    source: path,
    recursive: fc.boolean(),
  }),
);
const podManifest: fc.Arbitrary<PodManifest> = fc.record(
  {
    acVersion: fc.constant('0.8.11'),
    apps: fc.uniqueArray(
      fc.record(
        {
          name: acName,
          image: fc.record({ id: imageId, name: acIdentifier, labels }, { requiredKeys: ['id', 'labels'] }),
          app: app(fc.constant([])),
          readOnlyRootFs: fc.boolean(),
          mounts: uniqueBy(
            fc.record({ volume: acName, path, appVolume: volume }, { requiredKeys: ['volume', 'path'] }),
            (mount) => mount.path,
          ),
          annotations,
        },
        { requiredKeys: ['name', 'image', 'readOnlyRootFs', 'mounts', 'annotations'] },
      ),
      { minLength: 1, maxLength: 3, selector: byName },
    ),
    volumes: uniqueBy(volume, byName),
    isolators,
    annotations,
    ports: uniqueBy(
      fc.record(
        {
          name: acName,
          hostPort: fc.integer({ min: 1, max: 65535 }),
          hostIp: fc.ipV4(),
          podPort: port,
        },
        { requiredKeys: ['name', 'hostPort'] },
      ),
      byName,
    ),
    userAnnotations: userMap,
    userLabels: userMap,
  },
  { requiredKeys: ['acVersion', 'apps', 'volumes', 'isolators', 'annotations', 'ports'] },
);

describe('[A3.18] written documents are read back unchanged', () => {
  it('for every image manifest', () => {
    fc.assert(
      fc.property(imageManifest, (manifest) => {
        expect(parseImageManifest(serializeImageManifest(manifest))).toEqual(manifest);
      }),
    );
  });

  it('for every pod manifest', () => {
    fc.assert(
      fc.property(podManifest, (manifest) => {
        expect(parsePodManifest(serializePodManifest(manifest))).toEqual(manifest);
      }),
    );
  });

  it('for every JSON value, integers of any size among them', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(
          parseJson(encode(jsonText(value)), { maxBytes: 1 << 20, maxDepth: 32, maxValues: 1e5 }),
        ).toEqual(value);
      }),
    );
  });
});

describe('a document of another writer', () => {
  it('is read as JSON.parse reads it', () => {
    const asDouble = (_key: string, value: unknown): unknown =>
      typeof value === 'bigint' ? Number(value) : value;
    const small = { maxDepth: 2, stringUnit: 'grapheme' as const };
    // Integers of more than 64 digits, which are refused.
    const text = fc.json(small).filter((written) => !/e\+(?:6[4-9]|[7-9]\d|\d{3})/.test(written));
    fc.assert(
      fc.property(text, (written) => {
        const read = parseJson(encode(written), { maxBytes: 1 << 20, maxDepth: 32, maxValues: 1e5 });
        expect(JSON.stringify(read, asDouble)).toBe(JSON.stringify(JSON.parse(written)));
      }),
    );
  });

  it('is read or refused, also noise and manifests with one part replaced', () => {
    const whole = new TextDecoder();
    const spoiled = fc
      .tuple(imageManifest, fc.nat(), fc.nat(8), fc.string({ unit: 'binary', maxLength: 4 }))
      .map(([manifest, at, length, piece]) => {
        const text = whole.decode(serializeImageManifest(manifest));
        const start = at % text.length;
        return encode(text.slice(0, start) + piece + text.slice(start + length));
      });
    fc.assert(
      fc.property(fc.oneof(spoiled, fc.uint8Array()), (bytes) => {
        for (const parse of [parseImageManifest, parsePodManifest]) {
          try {
            parse(bytes);
          } catch (error) {
            if (!isRefusal(error, 'image-manifest-invalid', 'pod-manifest-invalid')) throw error;
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('names', () => {
  it('can be made from any text with a letter or digit', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), part, (text, certain) => {
        expect(sanitizeAcName(certain + text)).toBeDefined();
        expect(sanitizeAcIdentifier(certain + text)).toBeDefined();
      }),
    );
  });

  it('stay the same when they are valid names', () => {
    fc.assert(
      fc.property(acName, acIdentifier, (name, identifier) => {
        expect(sanitizeAcName(name)).toBe(name);
        expect(sanitizeAcIdentifier(identifier)).toBe(identifier);
      }),
    );
  });
});

describe('a timestamp', () => {
  it('is accepted as every date prints it', () => {
    const years = {
      min: new Date('0000-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59Z'),
      noInvalidDate: true,
    };
    fc.assert(
      fc.property(fc.date(years), (date) => {
        expect(isTimestamp(date.toISOString())).toBe(true);
      }),
    );
  });
});
