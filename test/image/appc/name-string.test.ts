// Labels as in docs/appc-checklist.md. Vectors of the reference are facts from github.com/appc/spec
// at 259c2ee (discovery/parse_test.go and schema/types/{mountpoint,volume}_test.go; Apache-2.0,
// Copyright 2015 The appc Authors).
import { describe, expect, it } from 'vitest';
import { parseMountPointString, parseVolumeString } from '../../../src/image/appc/string-forms.ts';
import { parseNameString } from '../../../src/image/appc/name-string.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';

describe('[A7.1] an image named in one text (the reference only; discovery.md has no such form)', () => {
  it.each([
    ['reference-only', 'example.com/reduce-worker:1.0.0', 'example.com/reduce-worker', { version: '1.0.0' }],
    [
      'reference-only',
      'example.com/reduce-worker,channel=alpha,label=value',
      'example.com/reduce-worker',
      { channel: 'alpha', label: 'value' },
    ],
    [
      'reference-only',
      "example.com/app:1.2.3,special=!*'();@&+$/?#[],channel=beta",
      'example.com/app',
      { version: '1.2.3', special: "!*'();@&+$/?#[]", channel: 'beta' },
    ],
    ['reference-only', 'example.com/reduce-worker', 'example.com/reduce-worker', {}],
    ['ours', 'example.com/app,note=a=b', 'example.com/app', { note: 'a=b' }],
  ])('%s: reads %j', (_source, text, name, labels) => {
    const read = parseNameString(text);
    expect(read.name).toBe(name);
    expect(Object.fromEntries(read.labels.map((label) => [label.name, label.value]))).toEqual(labels);
  });

  it.each([
    ['reference-only', 'not an app name', 'not an AC Identifier'],
    ['reference-only', 'example.com/garbage%8 939', 'not an AC Identifier'],
    [
      'reference-only',
      'foo.com/bar,channel=alpha,dog=woof,channel=beta',
      'the label "channel" is there twice',
    ],
    ['reference-only', 'example.com/app,channel=beta:1.2.3', 'a colon may stand only once'],
    ['reference-only', 'example.com/app:3.2.1,channel=beta:1.2.3', 'a colon may stand only once'],
    ['reference-only', 'example.com/app:3.2.1,version=1.2.3', 'the label "version" is there twice'],
    ['reference-only', 'example.com/app,version', 'not LABEL=VALUE'],
    ['ours', 'example.com/app:1:2', 'the label "version" is there twice'],
    ['ours', '', 'not an AC Identifier'],
    ['ours', 'example.com/app:', 'the label "version" has no value'],
    ['ours', 'example.com/app,name=other', 'not LABEL=VALUE'],
    ['ours', 'example.com/app,Channel=x', 'not LABEL=VALUE'],
    ['ours', `example.com/app,x=${'y'.repeat(4096)}`, 'longer than 4096 characters'],
  ])('%s: refuses %j', (_source, text, problem) => {
    expect(() => parseNameString(text)).toThrow(problem);
    expect(() => parseNameString(text)).toThrow(Refusal);
  });
});

describe('[A2.14] a mount point in one text (the reference only)', () => {
  it.each([
    ['foobar,path=/tmp', false],
    ['foobar,path=/tmp,readOnly=false', false],
    ['foobar,path=/tmp,readOnly=true', true],
  ])('reference-only: reads %j', (text, readOnly) => {
    expect(parseMountPointString(text)).toEqual({ name: 'foobar', path: '/tmp', readOnly });
  });

  it.each([
    ...['#foobar,path=/tmp', 'foobar,path=/tmp,readOnly=true,asdf=asdf', 'foobar,path=/tmp,readOnly=maybe'],
    ...['foobar,path=/tmp,readOnly=', 'foobar,path=', 'foobar', '', ',path=/'],
  ])('reference-only: refuses %j', (text) => {
    expect(() => parseMountPointString(text)).toThrow(
      expect.objectContaining({ code: 'input-invalid' }) as Refusal,
    );
  });

  it.each(['foobar,path=tmp', 'foobar,path=/a,path=/b', 'foobar,path=/a,name=b', 'foobar,path=/a/../b'])(
    'ours: refuses %j',
    (text) => {
      expect(() => parseMountPointString(text)).toThrow(
        expect.objectContaining({ code: 'input-invalid' }) as Refusal,
      );
    },
  );
});

describe('[A2.14] a volume in one text (the reference only)', () => {
  const host = { kind: 'host', name: 'foobar', source: '/tmp', readOnly: false, recursive: true };
  const empty = { kind: 'empty', name: 'foobar', readOnly: false, mode: 0o755, uid: 0, gid: 0 };

  it.each([
    ['foobar,kind=host,source=/tmp', host],
    ['foobar,kind=host,source=/tmp,readOnly=false', host],
    ['foobar,kind=host,source=/tmp,readOnly=true', { ...host, readOnly: true }],
    ['foobar,kind=host,source=/tmp,recursive=false', { ...host, recursive: false }],
    ['foobar,kind=host,source=/tmp,recursive=true', host],
    ['foobar,kind=empty', empty],
    ['foobar,kind=empty,readOnly=true', { ...empty, readOnly: true }],
    ['foobar,kind=empty,readOnly=true,mode=0777', { ...empty, readOnly: true, mode: 0o777 }],
    ['foobar,kind=empty,mode=0777,uid=1000', { ...empty, mode: 0o777, uid: 1000 }],
    ['foobar,kind=empty,mode=0777,uid=1000,gid=1000', { ...empty, mode: 0o777, uid: 1000, gid: 1000 }],
  ])('reference-only: reads %j', (text, volume) => {
    expect(parseVolumeString(text)).toEqual(volume);
  });

  it.each([
    ...['#foobar,kind=host,source=/tmp', 'foobar,kind=host,source=/tmp,readOnly=true,asdf=asdf'],
    ...['foobar,kind=host,source=tmp', 'foobar,kind=host,uid=3', 'foobar,kind=host,mode=0755'],
    ...['foobar,kind=host,mode=0600,readOnly=true,gid=0', 'foobar,kind=empty,source=/tmp'],
    'foobar,kind=host,source=/tmp,recursive=MAYBE',
  ])('reference-only: refuses %j', (text) => {
    expect(() => parseVolumeString(text)).toThrow(
      expect.objectContaining({ code: 'input-invalid' }) as Refusal,
    );
  });

  it.each([
    ...['foobar', 'foobar,kind=host', 'foobar,kind=empty,uid=-1', 'foobar,kind=empty,uid=4294967295'],
    ...['foobar,kind=empty,mode=zzz', 'foobar,kind=empty,mode=0o755', 'foobar,kind=tmpfs'],
  ])('ours: refuses %j', (text) => {
    expect(() => parseVolumeString(text)).toThrow(
      expect.objectContaining({ code: 'input-invalid' }) as Refusal,
    );
  });
});
