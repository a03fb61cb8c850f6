// Labels as in docs/appc-checklist.md. Vectors of the specification and of its reference are facts
// from github.com/appc/spec at 259c2ee (spec/ace.md and schema/types/isolator*_test.go; Apache-2.0,
// Copyright 2015 The appc Authors).
import { describe, expect, it } from 'vitest';
import {
  defaultCapabilities,
  type IsolatorScope,
  type TypedIsolator,
} from '../../../src/image/appc/isolators.ts';
import { parseAcIdentifier } from '../../../src/image/appc/identifiers.ts';
import { parseIsolator, parseIsolators } from '../../../src/image/appc/isolator-list.ts';
import type { Isolator, JsonValue } from '../../../src/image/appc/types.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';

const isolator = (name: string, value: JsonValue): Isolator => ({ name: parseAcIdentifier(name), value });
const read = (name: string, value: JsonValue, scope: IsolatorScope = 'app'): TypedIsolator =>
  parseIsolator(isolator(name, value), scope);

describe('the value of an isolator (ace.md#isolators)', () => {
  it.each<[string, string, JsonValue, TypedIsolator, IsolatorScope?]>([
    // resource/cpu
    [
      '[A5.5] specification',
      'resource/cpu',
      { request: '250m', limit: '500m' },
      { kind: 'resource/cpu', requestMilliCores: 250n, limitMilliCores: 500n },
    ],
    [
      '[A5.5] specification',
      'resource/cpu',
      { limit: '1' },
      { kind: 'resource/cpu', limitMilliCores: 1000n },
    ],
    [
      // A request above the limit is a valid vector; the limit bounds it when the pod is compiled.
      '[A5.5] reference-only',
      'resource/cpu',
      { request: '30m', limit: '1m' },
      { kind: 'resource/cpu', requestMilliCores: 30n, limitMilliCores: 1n },
    ],
    [
      '[A5.5] reference-only',
      'resource/cpu',
      { request: '345', limit: '6' },
      { kind: 'resource/cpu', requestMilliCores: 345000n, limitMilliCores: 6000n },
    ],
    [
      '[A5.5] reference-only',
      'resource/cpu',
      { limit: 2, default: false },
      { kind: 'resource/cpu', limitMilliCores: 2000n },
    ],
    ['[A5.5] ours', 'resource/cpu', { request: '0' }, { kind: 'resource/cpu', requestMilliCores: 0n }],
    // resource/memory
    [
      '[A5.5] specification',
      'resource/memory',
      { request: '100M', limit: '200M' },
      { kind: 'resource/memory', requestBytes: 100000000n, limitBytes: 200000000n },
    ],
    [
      '[A5.5] specification',
      'resource/cpu',
      { request: '1', limit: '2' },
      { kind: 'resource/cpu', requestMilliCores: 1000n, limitMilliCores: 2000n },
    ],
    [
      '[A5.5] specification',
      'resource/memory',
      { request: '1G', limit: '2G' },
      { kind: 'resource/memory', requestBytes: 1000000000n, limitBytes: 2000000000n },
    ],
    [
      '[A5.5] reference-only',
      'resource/memory',
      { request: '1G', limit: '2Gi' },
      { kind: 'resource/memory', requestBytes: 1000000000n, limitBytes: 2147483648n },
    ],
    [
      '[A5.5] ours',
      'resource/memory',
      { limit: '1000000.5' },
      { kind: 'resource/memory', limitBytes: 1000001n },
    ],
    // The three with a default
    [
      '[A5.6] specification',
      'resource/block-bandwidth',
      { default: true, limit: '2M' },
      { kind: 'resource/block-bandwidth', limitBytesPerSecond: 2000000n },
    ],
    [
      '[A5.6] specification',
      'resource/block-iops',
      { default: true, limit: '1000' },
      { kind: 'resource/block-iops', limitPerSecond: 1000n },
    ],
    [
      '[A5.6] specification',
      'resource/network-bandwidth',
      { default: true, limit: '1G' },
      { kind: 'resource/network-bandwidth', limitBytesPerSecond: 1000000000n },
    ],
    [
      '[A5.6] specification',
      'resource/block-bandwidth',
      { default: true, limit: '1G' },
      { kind: 'resource/block-bandwidth', limitBytesPerSecond: 1000000000n },
    ],
    [
      '[A5.6] specification',
      'resource/block-iops',
      { default: true, limit: '1G' },
      { kind: 'resource/block-iops', limitPerSecond: 1000000000n },
    ],
    // capabilities
    ...[['CAP_KILL'], ['CAP_ADMIN'], ['CAP_AUDIT_READ', 'CAP_KILL']].map(
      (set): [string, string, JsonValue, TypedIsolator] => [
        '[A5.7] reference-only',
        'os/linux/capabilities-retain-set',
        { set },
        { kind: 'os/linux/capabilities-retain-set', capabilities: set },
      ],
    ),
    ...[['CAP_AUDIT_WRITE'], ['CAP_SYS_ADMIN', 'CAP_CHOWN']].map(
      (set): [string, string, JsonValue, TypedIsolator] => [
        '[A5.7] reference-only',
        'os/linux/capabilities-remove-set',
        { set },
        { kind: 'os/linux/capabilities-remove-set', capabilities: set },
      ],
    ),
    [
      '[A5.7] specification',
      'os/linux/capabilities-retain-set',
      { set: ['CAP_NET_ADMIN', 'CAP_NET_BIND_SERVICE'] },
      { kind: 'os/linux/capabilities-retain-set', capabilities: ['CAP_NET_ADMIN', 'CAP_NET_BIND_SERVICE'] },
    ],
    [
      '[A5.7] specification',
      'os/linux/capabilities-remove-set',
      { set: ['CAP_SYS_CHROOT', 'CAP_MKNOD'] },
      { kind: 'os/linux/capabilities-remove-set', capabilities: ['CAP_SYS_CHROOT', 'CAP_MKNOD'] },
    ],
    [
      // The schema does not check whether the kernel has a capability.
      '[A5.7] reference-only',
      'os/linux/capabilities-retain-set',
      { set: ['CAP_PONIES', 'CAP_PONIES'] },
      { kind: 'os/linux/capabilities-retain-set', capabilities: ['CAP_PONIES'] },
    ],
    // no-new-privileges
    [
      '[A5.8] specification',
      'os/linux/no-new-privileges',
      true,
      { kind: 'os/linux/no-new-privileges', enabled: true },
    ],
    [
      '[A5.8] specification',
      'os/linux/no-new-privileges',
      false,
      { kind: 'os/linux/no-new-privileges', enabled: false },
    ],
    // seccomp
    [
      '[A5.9] specification',
      'os/linux/seccomp-retain-set',
      { errno: '', set: ['accept', 'bind', '_llseek'] },
      { kind: 'os/linux/seccomp-retain-set', calls: ['accept', 'bind', '_llseek'] },
    ],
    [
      // EACCESS is not an errno, but the vector contains it. The compiler of pods checks the errno.
      '[A5.9] reference-only',
      'os/linux/seccomp-remove-set',
      { errno: 'EACCESS', set: ['@appc.io/empty'] },
      { kind: 'os/linux/seccomp-remove-set', calls: ['@appc.io/empty'], errno: 'EACCESS' },
    ],
    [
      '[A5.9] reference-only',
      'os/linux/seccomp-remove-set',
      { set: ['chmod', 'chown'] },
      { kind: 'os/linux/seccomp-remove-set', calls: ['chmod', 'chown'] },
    ],
    [
      '[A5.9] specification',
      'os/linux/seccomp-retain-set',
      { set: ['@appc.io/all', '@rkt/default-whitelist'] },
      { kind: 'os/linux/seccomp-retain-set', calls: ['@appc.io/all', '@rkt/default-whitelist'] },
    ],
    [
      '[A5.9] reference-only',
      'os/linux/seccomp-retain-set',
      { set: ['chmod'], errno: 'EACCESS' },
      { kind: 'os/linux/seccomp-retain-set', calls: ['chmod'], errno: 'EACCESS' },
    ],
    [
      '[A5.9] specification',
      'os/linux/seccomp-retain-set',
      { set: ['chmod', 'chown'], errno: '' },
      { kind: 'os/linux/seccomp-retain-set', calls: ['chmod', 'chown'] },
    ],
    // labels of security modules
    ...['s0', 's0-s0:c0'].map((level): [string, string, JsonValue, TypedIsolator] => [
      '[A5.10] specification',
      'os/linux/selinux-context',
      { user: 'unconfined_u', role: 'object_r', type: 'user_home_t', level },
      {
        kind: 'os/linux/selinux-context',
        user: 'unconfined_u',
        role: 'object_r',
        type: 'user_home_t',
        level,
      },
    ]),
    [
      '[A5.10] reference-only',
      'os/linux/selinux-context',
      { user: 'user_u', role: 'role_r', type: 'type_r', level: 's0-s0' },
      { kind: 'os/linux/selinux-context', user: 'user_u', role: 'role_r', type: 'type_r', level: 's0-s0' },
    ],
    [
      '[A5.10] reference-only',
      'os/linux/selinux-context',
      { user: 'user_u', role: 'role_r', type: 'type_r', level: 's0-s0:c0' },
      { kind: 'os/linux/selinux-context', user: 'user_u', role: 'role_r', type: 'type_r', level: 's0-s0:c0' },
    ],
    [
      '[A5.10] specification',
      'os/linux/selinux-context',
      { user: 'system_u', role: 'system_r', type: 'dhcpc_t', level: 's0' },
      { kind: 'os/linux/selinux-context', user: 'system_u', role: 'system_r', type: 'dhcpc_t', level: 's0' },
      'pod',
    ],
    [
      '[A5.10] specification',
      'os/linux/apparmor-profile',
      { profile: 'rkt-default' },
      { kind: 'os/linux/apparmor-profile', profile: 'rkt-default' },
    ],
    // only in the reference's schema
    [
      '[A5.11] reference-only',
      'os/linux/oom-score-adj',
      250,
      { kind: 'os/linux/oom-score-adj', adjustment: 250 },
    ],
    [
      '[A5.11] reference-only',
      'os/linux/oom-score-adj',
      -250,
      { kind: 'os/linux/oom-score-adj', adjustment: -250 },
    ],
    ['[A5.11] reference-only', 'os/linux/cpu-shares', 2048, { kind: 'os/linux/cpu-shares', shares: 2048 }],
    // sysctl
    [
      '[A5.12] specification',
      'os/unix/sysctl',
      { 'net.ipv4.tcp_rfc1337': '1' },
      { kind: 'os/unix/sysctl', settings: new Map([['net.ipv4.tcp_rfc1337', '1']]) },
      'pod',
    ],
    ['[A5.12] specification', 'os/unix/sysctl', {}, { kind: 'os/unix/sysctl', settings: new Map() }, 'pod'],
    [
      '[A5.12] specification',
      'os/unix/sysctl',
      { foo: 'bar', 'net/ipv4/conf/eth0.100/forwarding': '1', 'net.ipv4.tcp_rmem': '4096\t131072\t6291456' },
      {
        kind: 'os/unix/sysctl',
        settings: new Map([
          ['foo', 'bar'],
          ['net/ipv4/conf/eth0.100/forwarding', '1'],
          ['net.ipv4.tcp_rmem', '4096\t131072\t6291456'],
        ]),
      },
      'pod',
    ],
    // wherry's own
    ['[A5.14] ours', 'wherry/tasks', { limit: '64' }, { kind: 'wherry/tasks', limit: 64 }],
    ['[A5.14] ours', 'wherry/tasks', { limit: 64 }, { kind: 'wherry/tasks', limit: 64 }, 'pod'],
  ])('%s: %s %j is read', (_source, name, value, typed, scope = 'app') => {
    expect(read(name, value, scope)).toEqual(typed);
  });

  it.each<[string, string, JsonValue, string, IsolatorScope?]>([
    ['[A5.11] reference-only', 'os/linux/cpu-shares', 1, '/value: expected an integer from 2 to 262144'],
    ['[A5.11] reference-only', 'os/linux/cpu-shares', 'pants', '/value: expected an integer'],
    ['[A5.11] reference-only', 'os/linux/cpu-shares', '262145', '/value: expected an integer'],
    ['[A5.11] reference-only', 'os/linux/cpu-shares', '-1', '/value: expected an integer'],
    ['[A5.11] ours', 'os/linux/cpu-shares', 2.5, '/value: expected an integer'],
    [
      '[A5.11] reference-only',
      'os/linux/oom-score-adj',
      -2500,
      '/value: expected an integer from -1000 to 1000',
    ],
    ['[A5.11] reference-only', 'os/linux/oom-score-adj', 'pants', '/value: expected an integer'],
    ['[A5.8] specification', 'os/linux/no-new-privileges', 123, '/value: expected true or false'],
    [
      '[A5.8] specification',
      'os/linux/no-new-privileges',
      { set: ['CAP_KILL'] },
      '/value: expected true or false',
    ],
    ['[A5.8] specification', 'os/linux/no-new-privileges', 'foo', '/value: expected true or false'],
    [
      '[A5.7] reference-only',
      'os/linux/capabilities-retain-set',
      { set: [] },
      '/value/set: expected at least one name',
    ],
    [
      '[A5.7] reference-only',
      'os/linux/capabilities-remove-set',
      { set: [] },
      '/value/set: expected at least one name',
    ],
    [
      '[A5.7] reference-only',
      'os/linux/capabilities-retain-set',
      { set: 'CAP_PONIES' },
      '/value/set: expected a list',
    ],
    [
      '[A5.7] ours',
      'os/linux/capabilities-retain-set',
      { set: ['KILL'] },
      '/value/set/0: expected a capability',
    ],
    ['[A5.7] ours', 'os/linux/capabilities-retain-set', ['CAP_KILL'], '/value: expected an object'],
    [
      '[A5.6] specification',
      'resource/block-bandwidth',
      { default: false, limit: '1G' },
      '/value/default: expected true',
    ],
    [
      '[A5.6] specification',
      'resource/block-bandwidth',
      { request: '30G', limit: '1G' },
      '/value/request: the key',
    ],
    [
      '[A5.6] specification',
      'resource/block-bandwidth',
      { limit: '1G' },
      '/value: the key "default" is missing',
    ],
    [
      '[A5.6] specification',
      'resource/block-bandwidth',
      { default: true },
      '/value: the key "limit" is missing',
    ],
    [
      '[A5.6] specification',
      'resource/block-iops',
      { default: false, limit: '1G' },
      '/value/default: expected true',
    ],
    [
      '[A5.6] specification',
      'resource/block-iops',
      { request: '30G', limit: '1G' },
      '/value/request: the key',
    ],
    [
      '[A5.6] specification',
      'resource/network-bandwidth',
      { default: false, limit: '1G' },
      '/value/default: expected true',
    ],
    [
      '[A5.6] specification',
      'resource/network-bandwidth',
      { request: '30G', limit: '1G' },
      '/value/request: the key',
    ],
    [
      '[A5.5] reference-only',
      'resource/memory',
      { default: true, request: '1G', limit: '2G' },
      '/value/default: expected false',
    ],
    [
      '[A5.5] specification',
      'resource/cpu',
      { request: '', limit: '2' },
      '/value/request: expected a quantity',
    ],
    [
      '[A5.5] specification',
      'resource/cpu',
      { request: '1', limit: 'such garbage' },
      '/value/limit: expected a quantity',
    ],
    ['[A5.5] ours', 'resource/cpu', {}, '/value: expected a "limit" or a "request"'],
    ['[A5.5] ours', 'resource/cpu', { limit: '-1' }, '/value/limit: expected a quantity'],
    ['[A5.5] ours', 'resource/cpu', { limit: '0' }, '/value/limit: expected more than 0 cores'],
    [
      '[A5.5] ours',
      'resource/cpu',
      { limit: '1E' },
      '/value/limit: expected a number of cores up to a million',
    ],
    ['[A5.5] ours', 'resource/memory', { limit: '0' }, '/value/limit: expected a quantity from 1'],
    [
      '[A5.5] ours',
      'resource/memory',
      { limit: '8Ei' },
      '/value/limit: expected a quantity from 1 to 2^63-1',
    ],
    [
      '[A5.5] ours',
      'resource/memory',
      { request: '8Ei' },
      '/value/request: expected a quantity up to 2^63-1',
    ],
    [
      '[A5.5] ours',
      'resource/memory',
      { limit: '1G', Request: '1G' },
      '/value/Request: the key is not known, expected "request"',
    ],
    [
      '[A5.9] reference-only',
      'os/linux/seccomp-remove-set',
      { set: ['chmod'], errno: '-EPERM' },
      '/value/errno: expected the name',
    ],
    [
      '[A5.9] reference-only',
      'os/linux/seccomp-retain-set',
      { set: ['chmod'], errno: 'eaccess' },
      '/value/errno: expected',
    ],
    [
      '[A5.9] reference-only',
      'os/linux/seccomp-remove-set',
      { set: [] },
      '/value/set: expected at least one name',
    ],
    [
      '[A5.9] specification',
      'os/linux/seccomp-remove-set',
      { set: ['@appc.io/all'] },
      '/value/set/0: expected a system call',
    ],
    [
      '[A5.9] specification',
      'os/linux/seccomp-retain-set',
      { set: ['@appc.io/empty'] },
      '/value/set/0: expected a system call',
    ],
    [
      '[A5.9] ours',
      'os/linux/seccomp-retain-set',
      { set: ['ch mod'] },
      '/value/set/0: expected a system call',
    ],
    ['[A5.9] ours', 'os/linux/seccomp-retain-set', { set: ['@all'] }, '/value/set/0: expected a system call'],
    [
      '[A5.10] reference-only',
      'os/linux/selinux-context',
      { user: 'user_u', role: 'role_r:type_t', type: 'type_r', level: 's0-s0' },
      '/value/role: expected a part',
    ],
    [
      '[A5.10] reference-only',
      'os/linux/selinux-context',
      { user: 'user_u', role: '', type: 'type_r', level: 's0-s0' },
      '/value/role: expected a part',
    ],
    [
      '[A5.10] reference-only',
      'os/linux/selinux-context',
      { user: 'unconfined_u:unconfined_t', role: 'object_r', type: 'user_home_t', level: 's0' },
      '/value/user: expected a part',
    ],
    [
      '[A5.10] reference-only',
      'os/linux/selinux-context',
      { user: 'u', role: 'r', type: 't', level: '' },
      '/value/level: expected',
    ],
    [
      '[A5.10] specification',
      'os/linux/selinux-context',
      { user: 'u', role: 'r', type: 't' },
      '"level" is missing',
    ],
    [
      '[A5.10] reference-only',
      'os/linux/apparmor-profile',
      { profile: '' },
      '/value/profile: expected the name',
    ],
    ['[A5.10] ours', 'os/linux/apparmor-profile', { profile: 'a\nb' }, '/value/profile: expected the name'],
    [
      '[A5.12] specification',
      'os/unix/sysctl',
      { 'net.ipv4.tcp_rfc1337': 1 },
      '/value/net.ipv4.tcp_rfc1337: expected a string',
      'pod',
    ],
    [
      '[A5.12] specification',
      'os/unix/sysctl',
      ['net.ipv4.tcp_rfc1337'],
      '/value: expected an object',
      'pod',
    ],
    // The kernel takes it and changes nothing.
    ['[A5.12] ours', 'os/unix/sysctl', { 'kernel.sem': '' }, 'expected one line of 1 to 1024', 'pod'],
    [
      '[A5.12] ours',
      'os/unix/sysctl',
      { 'net/../../etc/passwd': '1' },
      'expected the name of a kernel parameter',
      'pod',
    ],
    [
      '[A5.12] ours',
      'os/unix/sysctl',
      { '/etc/passwd': '1' },
      'expected the name of a kernel parameter',
      'pod',
    ],
    ['[A5.12] ours', 'os/unix/sysctl', { 'net.core.somaxconn': '1\n2' }, 'expected one line', 'pod'],
    ['[A5.14] ours', 'wherry/tasks', { limit: '0' }, '/value/limit: expected a quantity from 1'],
    ['[A5.14] ours', 'wherry/tasks', { limit: '2' }, '/value/limit: expected at least 3 tasks'],
    ['[A5.14] ours', 'wherry/tasks', { limit: '5M' }, '/value/limit: expected at most 4194304 tasks'],
    ['[A5.14] ours', 'wherry/tasks', {}, '/value: the key "limit" is missing'],
    [
      '[A5.9] reference-only',
      'os/linux/seccomp-retain-set',
      { set: [], errno: 'eaccess' },
      '/value/set: expected at least one name',
    ],
    [
      '[A5.9] reference-only',
      'os/linux/seccomp-retain-set',
      { set: [] },
      '/value/set: expected at least one name',
    ],
    [
      '[A5.10] reference-only',
      'os/linux/selinux-context',
      { user: '', role: 'object_r', type: 'user_home_t', level: 's0' },
      '/value/user: expected a part',
    ],
  ])('%s: %s %j is refused', (_source, name, value, problem, scope = 'app') => {
    expect(() => read(name, value, scope)).toThrow(problem);
    expect(() => read(name, value, scope)).toThrow(
      expect.objectContaining({ code: 'pod-isolator-invalid' }) as Refusal,
    );
  });

  it('[A3.17] ours: names the wrong isolator', () => {
    expect(() => read('resource/cpu', { limit: 'x' })).toThrow(/^isolator "resource\/cpu": \/value\/limit: /);
  });
});

describe('[A5.2] the scope of an isolator (ace.md#isolators)', () => {
  it.each<[string, JsonValue, IsolatorScope]>([
    ['os/linux/capabilities-retain-set', { set: ['CAP_KILL'] }, 'pod'],
    ['os/linux/capabilities-remove-set', { set: ['CAP_KILL'] }, 'pod'],
    ['os/linux/no-new-privileges', true, 'pod'],
    ['os/linux/seccomp-retain-set', { set: ['read'] }, 'pod'],
    ['os/linux/seccomp-remove-set', { set: ['read'] }, 'pod'],
    ['os/linux/oom-score-adj', 1, 'pod'],
    ['os/linux/cpu-shares', 2, 'pod'],
    ['os/unix/sysctl', {}, 'app'],
  ])('specification: %s %j does not belong to the %s', (name, value, scope) => {
    expect(() => read(name, value, scope)).toThrow(
      `does not belong to a${scope === 'app' ? 'n app' : ' pod'}`,
    );
  });

  it.each<[string, JsonValue]>([
    ['resource/cpu', { limit: '1' }],
    ['resource/memory', { limit: '1G' }],
    ['resource/block-bandwidth', { default: true, limit: '1' }],
    ['resource/block-iops', { default: true, limit: '1' }],
    ['resource/network-bandwidth', { default: true, limit: '1' }],
    ['os/linux/selinux-context', { user: 'u', role: 'r', type: 't', level: 's0' }],
    ['os/linux/apparmor-profile', { profile: 'x' }],
    ['wherry/tasks', { limit: 3 }],
  ])('specification: %s %j belongs to apps and pods', (name, value) => {
    expect(read(name, value, 'app')).toEqual(read(name, value, 'pod'));
  });
});

describe('a list of isolators (ace.md#isolators)', () => {
  const cpu = isolator('resource/cpu', { limit: '1' });
  const ponies = isolator('resource/network-ponies', 0);

  it('[A5.1] specification: keeps unknown isolators, so that they can be reported as ignored', () => {
    expect(parseIsolators([cpu, ponies, ponies], 'app')).toEqual([
      { kind: 'resource/cpu', limitMilliCores: 1000n },
      { kind: 'unknown', name: 'resource/network-ponies', value: 0 },
      { kind: 'unknown', name: 'resource/network-ponies', value: 0 },
    ]);
  });

  it('[A5.1] specification (TestIsolatorUnrecognized): known isolators beside it are read', () => {
    const list = [isolator('resource/network-bandwidth', { default: true, limit: '1G' }), ponies];
    expect(parseIsolators(list, 'app').map(({ kind }) => kind)).toEqual([
      'resource/network-bandwidth',
      'unknown',
    ]);
  });

  it('[A5.2] [A5.4] specification: the list of TestIsolatorsGetByName is refused, not its members', () => {
    const list: readonly [Isolator, IsolatorScope][] = [
      [isolator('resource/cpu', { request: '30m', limit: '1m' }), 'app'],
      [isolator('resource/memory', { request: '1G', limit: '2Gi' }), 'app'],
      [isolator('os/linux/capabilities-retain-set', { set: ['CAP_KILL'] }), 'app'],
      [isolator('os/linux/capabilities-remove-set', { set: ['CAP_KILL'] }), 'app'],
      [isolator('os/linux/no-new-privileges', true), 'app'],
      [isolator('os/unix/sysctl', { 'net.ipv4.tcp_rfc1337': '1' }), 'pod'],
    ];
    for (const [one, scope] of list) expect(parseIsolator(one, scope).kind).toBe(one.name);
    const all = list.map(([one]) => one);
    expect(() => parseIsolators(all, 'app')).toThrow('/3: the isolator');
    expect(() => parseIsolators(all, 'pod')).toThrow('does not belong to a pod');
  });

  it('[A5.1] ours: does not mistake the name of an object property for an isolator', () => {
    expect(read('constructor', 1)).toEqual({ kind: 'unknown', name: 'constructor', value: 1 });
  });

  it('[A5.3] ours: refuses any known isolator that is there twice', () => {
    expect(() => parseIsolators([cpu, ponies, cpu], 'app')).toThrow(
      '/2: the isolator "resource/cpu" is there twice',
    );
  });

  it.each([
    ['capabilities', { set: ['CAP_KILL'] }],
    ['seccomp', { set: ['read'] }],
  ])(
    '[A5.4] specification: refuses the %s retain-set beside the remove-set, in either order',
    (name, value) => {
      const pair = ['retain', 'remove'].map((set) => isolator(`os/linux/${name}-${set}-set`, value));
      expect(() => parseIsolators(pair, 'app')).toThrow('/1: the isolator');
      expect(() => parseIsolators(pair.toReversed(), 'app')).toThrow('cannot stand beside');
    },
  );
});

describe('the default capabilities', () => {
  it('[A5.7] specification: are the 14 of ace.md', () => {
    expect(defaultCapabilities.map((name) => name.slice(4)).sort()).toEqual(
      [
        ...['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'KILL', 'MKNOD', 'NET_RAW'],
        ...['NET_BIND_SERVICE', 'SETUID', 'SETGID', 'SETPCAP', 'SETFCAP', 'SYS_CHROOT'],
      ].sort(),
    );
  });
});
