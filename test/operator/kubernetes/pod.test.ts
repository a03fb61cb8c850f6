import { describe, expect, it } from 'vitest';
import { load } from 'js-yaml';
import { parseAcName, parseImageId } from '../../../src/image/appc/identifiers.ts';
import { parseImageManifest, parsePodManifest } from '../../../src/image/appc/index.ts';
import { OfferedImages, type OfferedImage } from '../../../src/operator/fleet/index.ts';
import { isKubernetes, podFromKubernetes } from '../../../src/operator/kubernetes/index.ts';

function image(
  name: string,
  version: string,
  app: object,
  entrypoint?: number,
  more: readonly { name: string; value: string }[] = [],
): OfferedImage {
  const manifest = {
    ...{ acKind: 'ImageManifest', acVersion: '0.8.11', name },
    labels: [{ name: 'version', value: version }],
    app: { user: 'www', group: 'www', ...app },
    annotations: [
      ...(entrypoint === undefined
        ? []
        : [{ name: 'wherry/oci-entrypoint-length', value: String(entrypoint) }]),
      ...more,
    ],
  };
  const digit = version.replaceAll(/\D/g, '').slice(0, 1);
  return {
    path: `${name.split('/').at(-1)}.aci`,
    signaturePath: 'x.asc',
    id: parseImageId(`sha512-${digit.repeat(128)}`),
    manifest: parseImageManifest(Buffer.from(JSON.stringify(manifest))),
    ...{ sizeBytes: 1, tarSizeBytes: 2, sha256: digit.repeat(64), offeredAs: 'x.aci' },
  };
}

const web = image(
  'example.com/web',
  '1.0',
  {
    exec: ['/entry', 'serve'],
    environment: [
      { name: 'KEPT', value: 'image' },
      { name: 'LEVEL', value: 'image' },
    ],
    mountPoints: [{ name: 'unused', path: '/unused' }],
    supplementaryGIDs: [20],
  },
  1,
);
const agent = image('example.com/agent', '2.0', { exec: ['/agent'] });
const healthcheck = [{ name: 'wherry/probe-exec', value: '["/check"]' }];
const checked = image('example.com/checked', '3.0', { exec: ['/run'] }, 1, healthcheck);
const limited = image('example.com/limited', '4.0', {
  exec: ['/run'],
  isolators: [{ name: 'resource/memory', value: { limit: '64Mi' } }],
});
const guarded = image('example.com/guarded', '6.0', {
  exec: ['/run'],
  isolators: [
    { name: 'os/linux/no-new-privileges', value: true },
    { name: 'os/linux/seccomp-retain-set', value: { set: ['@appc.io/all'] } },
  ],
});
const bare = image('example.com/bare', '5.0', {});
const offered = new OfferedImages([web, agent, checked, limited, guarded, bare]);

const read = (yaml: string) =>
  parsePodManifest(podFromKubernetes(parseAcName('web'), load(yaml), offered).pod.manifest);
const container = (lines: string) =>
  read(`
apiVersion: v1
kind: Pod
spec:
  volumes:
  - { name: data, emptyDir: {} }
  containers:
  - name: web
    image: example.com/web:1.0
${lines.replaceAll(/^/gm, '    ')}
`).apps[0];
const refused = (yaml: string) => {
  try {
    read(yaml);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'read';
};

describe('a Kubernetes Pod', () => {
  it('becomes a pod manifest: a web server with a sidecar that reads its log', () => {
    const pod = read(`
apiVersion: v1
kind: Pod
metadata:
  name: anything
  namespace: default
  labels: { app: web }
  annotations: { team: shop }
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 20
  securityContext: { runAsUser: 1000, runAsGroup: 1001, runAsNonRoot: true, supplementalGroups: [44] }
  volumes:
  - name: logs
    emptyDir: {}
  - name: config
    hostPath: { path: /etc/shop, type: Directory }
  containers:
  - name: web
    image: example.com/web:1.0
    imagePullPolicy: IfNotPresent
    args: ["--level=$(LEVEL)", "$$(LEVEL)", "$(NONE)"]
    env:
    - { name: LEVEL, value: debug }
    - { name: BOTH, value: "$(LEVEL)-x" }
    ports:
    - { name: http, containerPort: 8080, hostPort: 80 }
    - { containerPort: 53, protocol: UDP, hostPort: 5353, hostIP: 192.0.2.1 }
    volumeMounts:
    - { name: logs, mountPath: /var/log/web }
    - { name: config, mountPath: /etc/web, readOnly: true }
    resources:
      requests: { cpu: 100m, memory: 16Mi }
      limits: { cpu: 1, memory: 64Mi }
    readinessProbe:
      httpGet: { path: /healthz, port: http }
      periodSeconds: 5
    startupProbe:
      httpGet: { path: /healthz, port: 8080 }
      failureThreshold: 6
      periodSeconds: 10
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: { drop: [ALL], add: [NET_BIND_SERVICE] }
      seccompProfile: { type: RuntimeDefault }
  - name: tail
    image: agent.aci
    command: [/agent, tail]
    volumeMounts:
    - { name: logs, mountPath: /logs, readOnly: true }
`);
    expect(pod.annotations).toEqual([{ name: 'wherry/network', value: 'bridge' }]);
    expect(pod.volumes).toMatchObject([
      { name: 'logs', kind: 'empty', mode: 0o777 },
      { name: 'config', kind: 'host', source: '/etc/shop' },
    ]);
    expect(pod.ports).toMatchObject([
      { hostPort: 80, podPort: { name: 'http', protocol: 'tcp', port: 8080 } },
      { hostPort: 5353, hostIp: '192.0.2.1', podPort: { protocol: 'udp', port: 53 } },
    ]);
    const [first, second] = pod.apps;
    expect(first).toMatchObject({ name: 'web', image: { id: web.id }, readOnlyRootFs: true });
    expect(first?.app).toMatchObject({
      exec: ['/entry', '--level=debug', '$(LEVEL)', '$(NONE)'],
      // The group of the image belongs to its user, which the pod replaces.
      ...{ user: '1000', group: '1001', supplementaryGids: [44] },
      environment: [
        { name: 'KEPT', value: 'image' },
        { name: 'LEVEL', value: 'debug' },
        { name: 'BOTH', value: 'debug-x' },
      ],
      mountPoints: [
        { name: 'logs', path: '/var/log/web', readOnly: false },
        { name: 'config', path: '/etc/web', readOnly: true },
      ],
    });
    expect(Object.fromEntries(first?.app?.isolators.map(({ name, value }) => [name, value]) ?? [])).toEqual({
      'resource/cpu': { request: '100m', limit: '1' },
      'resource/memory': { request: '16Mi', limit: '64Mi' },
      'os/linux/capabilities-retain-set': { set: ['CAP_NET_BIND_SERVICE'] },
      'os/linux/no-new-privileges': true,
    });
    expect(Object.fromEntries(first?.annotations.map(({ name, value }) => [name, value]) ?? [])).toEqual({
      'wherry/restart': 'on-failure',
      'wherry/stop-timeout': '20',
      'wherry/probe-http': '8080/healthz',
      'wherry/probe-interval': '5',
      'wherry/probe-timeout': '1',
      'wherry/probe-failures': '3',
      'wherry/probe-successes': '1',
      'wherry/probe-start-period': '60',
    });
    expect(second).toMatchObject({ name: 'tail', app: { exec: ['/agent', 'tail'], user: '1000' } });
    expect(pod.userLabels).toEqual({ app: 'web' });
    expect(pod.userAnnotations).toEqual({ team: 'shop' });
  });

  it.each([
    ['', ['/entry', 'serve']],
    ['args: [other]', ['/entry', 'other']],
    ['command: [/bin/sh]', ['/bin/sh']],
    ['command: [/bin/sh, -c]\nargs: [true]', ['/bin/sh', '-c', 'true']],
    ['command: []\nargs: []\nworkingDir: ""', ['/entry', 'serve']],
    [
      'args: ["$(KEPT)", "$(echo $(LEVEL))"]\nenv: [{ name: LEVEL, value: x }]',
      ['/entry', '$(KEPT)', '$(echo $(LEVEL))'],
    ],
    ['args: ["$$x $", "$(A"]\nenv: [{ name: A, value: x }]', ['/entry', '$x $', '$(A']],
    ['args: ["$(A)"]\nenv: [{ name: A, value: x }, { name: A, value: $(A)y }]', ['/entry', 'xy']],
  ])('runs what Kubernetes would with %j', (lines, exec) => {
    expect(container(lines.replace('[true]', '["true"]'))?.app?.exec).toEqual(exec);
  });

  it.each([
    ['exec: { command: [/check, -q] }', 'wherry/probe-exec', '["/check","-q"]'],
    ['tcpSocket: { port: 5432 }', 'wherry/probe-tcp', '5432'],
    ['httpGet: { port: 80 }', 'wherry/probe-http', '80/'],
    ['httpGet: { port: "80", path: ready }', 'wherry/probe-http', '80/ready'],
    ['tcpSocket: { port: 1 }, periodSeconds: 0', 'wherry/probe-interval', '10'],
  ])('has the probe of its app from %s', (action, name, value) => {
    const app = container(`readinessProbe: { ${action}, initialDelaySeconds: 7 }`);
    expect(app?.annotations).toContainEqual({ name, value });
    expect(app?.annotations).toContainEqual({ name: 'wherry/probe-start-period', value: '7' });
  });

  it('has no probe from the health check of an image, which Kubernetes ignores', () => {
    const { apps } = read(`
apiVersion: v1
kind: Pod
spec:
  initContainers: [{ name: setup, image: checked.aci }]
  containers:
  - { name: web, image: checked.aci }
  - { name: db, image: checked.aci, readinessProbe: { tcpSocket: { port: 1 } } }
`);
    const probes = apps.map(({ annotations }) =>
      annotations.filter(({ name }) => /probe-(exec|tcp)/.test(name)).map(({ value }) => value),
    );
    expect(probes).toEqual([['[]'], ['[]'], ['1']]);
  });

  it('runs its init containers one after the other, then the others', () => {
    const { apps } = read(`
apiVersion: v1
kind: Pod
spec:
  initContainers:
  - { name: fetch, image: agent.aci }
  - { name: migrate, image: agent.aci }
  containers:
  - { name: web, image: web.aci }
`);
    const order = apps.map(({ name, annotations }) => [
      name,
      ...annotations
        .filter((one) => ['wherry/once', 'wherry/after', 'wherry/restart'].includes(one.name))
        .map((one) => one.value),
    ]);
    expect(order).toEqual([
      ['fetch', 'on-failure', 'true'],
      ['migrate', 'on-failure', 'true', 'fetch'],
      ['web', 'always', 'migrate'],
    ]);
  });

  it('runs an init container that always restarts beside the others', () => {
    const { apps } = read(`
apiVersion: v1
kind: Pod
spec:
  restartPolicy: Never
  initContainers:
  - { name: log, image: agent.aci, restartPolicy: Always }
  - { name: migrate, image: agent.aci }
  containers:
  - { name: web, image: web.aci }
`);
    expect(apps.map(({ name, annotations }) => [name, annotations.slice(0, -1)])).toEqual([
      ['log', [{ name: 'wherry/restart', value: 'always' }]],
      [
        'migrate',
        [
          { name: 'wherry/restart', value: 'no' },
          { name: 'wherry/once', value: 'true' },
          { name: 'wherry/after', value: 'log' },
        ],
      ],
      [
        'web',
        [
          { name: 'wherry/restart', value: 'no' },
          { name: 'wherry/after', value: 'migrate' },
        ],
      ],
    ]);
  });

  it('gives each port a unique name, and resolves the names in probes per container', () => {
    const pod = read(`
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: dns
    image: agent.aci
    ports:
    - { containerPort: 53, protocol: TCP, hostPort: 53 }
    - { containerPort: 53, protocol: UDP, hostPort: 53 }
    - { name: metrics, containerPort: 9153, hostPort: 0 }
  - name: web
    image: web.aci
    ports: [{ name: metrics, containerPort: 9154 }]
    readinessProbe: { tcpSocket: { port: metrics } }
`);
    expect(pod.apps.map(({ app }) => app?.ports.map(({ name, port }) => `${name} ${port}`))).toEqual([
      ['port-53 53', 'port-53-2 53', 'metrics 9153'],
      ['metrics-2 9154'],
    ]);
    expect(pod.ports).toMatchObject([
      { name: 'port-53', hostPort: 53, podPort: { protocol: 'tcp' } },
      { name: 'port-53-2', hostPort: 53, podPort: { protocol: 'udp' } },
    ]);
    expect(pod.apps[1]?.annotations).toContainEqual({ name: 'wherry/probe-tcp', value: '9154' });
  });

  it('has its memory volumes, and volumes of its group', () => {
    const pod = read(`
apiVersion: v1
kind: Pod
metadata: { annotations: { wherry/memory-volumes: own=4Mi }, creationTimestamp: "2026-01-01T00:00:00Z" }
spec:
  securityContext: { fsGroup: 2000, supplementalGroups: [7], fsGroupChangePolicy: OnRootMismatch }
  volumes:
  - { name: own, emptyDir: }
  - { name: fast, emptyDir: { medium: Memory, sizeLimit: 16Mi } }
  containers: [{ name: web, image: web.aci, tty: }]
`);
    expect(pod.annotations).toContainEqual({ name: 'wherry/memory-volumes', value: 'own=4Mi,fast=16Mi' });
    expect(pod.volumes).toMatchObject([
      { name: 'own', mode: 0o2777, gid: 2000 },
      { name: 'fast', mode: 0o2777, gid: 2000 },
    ]);
    expect(pod.apps[0]?.app?.supplementaryGids).toEqual([20, 7, 2000]);
  });

  it.each([
    ['Unconfined', '{}', ['os/linux/seccomp-retain-set']],
    ['Unconfined', '{ seccompProfile: { type: RuntimeDefault } }', []],
    ['RuntimeDefault', '{ seccompProfile: { type: Unconfined } }', ['os/linux/seccomp-retain-set']],
  ])('has no filter where pod (%s) and container (%s) say so', (type, context, isolators) => {
    const { apps } = read(`
apiVersion: v1
kind: Pod
spec:
  securityContext: { seccompProfile: { type: ${type} } }
  containers: [{ name: web, image: web.aci, securityContext: ${context} }]
`);
    expect(apps[0]?.app?.isolators.map(({ name }) => name)).toEqual(isolators);
  });

  it('keeps the user of the image, and gives root as the group of another user', () => {
    expect(container('')?.app).toMatchObject({ user: 'www', group: 'www' });
    expect(container('securityContext: { runAsUser: 5 }')?.app).toMatchObject({ user: '5', group: '0' });
  });

  it('removes all capabilities if they are dropped', () => {
    for (const all of ['ALL', 'all']) {
      expect(
        container(`securityContext: { capabilities: { drop: [${all}] } }`)?.app?.isolators,
      ).toMatchObject([
        {
          name: 'os/linux/capabilities-remove-set',
          value: { set: expect.arrayContaining(['CAP_CHOWN']) as string[] },
        },
      ]);
    }
  });

  it.each([
    ['capabilities: {}', []],
    ['allowPrivilegeEscalation: true', ['os/linux/no-new-privileges']],
    ['allowPrivilegeEscalation: false', ['os/linux/no-new-privileges']],
    ['capabilities: { add: [net_admin, CAP_SYS_TIME] }', ['CAP_NET_ADMIN', 'CAP_SYS_TIME']],
    [
      'capabilities: { add: [NET_ADMIN, SYS_TIME, NET_RAW], drop: [net_raw] }',
      ['CAP_NET_ADMIN', 'CAP_SYS_TIME'],
    ],
  ])('gets what its security context adds: %s', (context, expected) => {
    const isolators = container(`securityContext: { ${context} }`)?.app?.isolators ?? [];
    const added = isolators.flatMap(({ name, value }) =>
      name === 'os/linux/capabilities-retain-set' ? (value as { set: string[] }).set.slice(-2) : [name],
    );
    expect(added).toEqual(expected);
  });

  it('has its own limits in place of those of its image', () => {
    const limited = (resources: string) =>
      read(
        `{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web, image: limited.aci, ${resources} }] } }`,
      ).apps[0]?.app?.isolators;
    const own = { name: 'resource/memory', value: { limit: '64Mi' } };
    expect(limited('')).toMatchObject([own]);
    expect(limited('resources: { limits: { memory: 32Mi } }')).toMatchObject([
      { name: 'resource/memory', value: { limit: '32Mi' } },
    ]);
    expect(limited('resources: { limits: { cpu: 1 } }')).toMatchObject([own, { name: 'resource/cpu' }]);
  });

  it('has its own security settings in place of those of its image', () => {
    const isolators = (context: string) =>
      read(
        `{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web, image: guarded.aci, securityContext: { ${context} } }] } }`,
      ).apps[0]?.app?.isolators;
    expect(isolators('')).toMatchObject([
      { name: 'os/linux/no-new-privileges', value: true },
      { name: 'os/linux/seccomp-retain-set' },
    ]);
    expect(
      isolators('allowPrivilegeEscalation: true, seccompProfile: { type: RuntimeDefault }'),
    ).toMatchObject([{ name: 'os/linux/no-new-privileges', value: false }]);
  });

  it('[C299] takes a field without a value as absent', () => {
    const { apps, volumes } = read(`
apiVersion: v1
kind: Pod
spec:
  nodeSelector:
  volumes: [{ name: data, configMap: null }]
  initContainers: [{ name: setup, image: web.aci, restartPolicy: null, startupProbe: null }]
  containers: [{ name: web, image: web.aci, livenessProbe: null, lifecycle: null, envFrom: null }]
`);
    expect(apps[0]?.annotations).toContainEqual({ name: 'wherry/once', value: 'true' });
    expect(volumes).toMatchObject([{ name: 'data', kind: 'empty' }]);
  });

  it.each([
    ['', '1', '20'],
    ['initialDelaySeconds: 60,', '1', '80'],
    ['initialDelaySeconds: 60,', '90', '90'],
  ])('has time to start from both probes: %s %s', (startup, delay, seconds) => {
    const app = container(`
readinessProbe: { tcpSocket: { port: 80 }, initialDelaySeconds: ${delay} }
startupProbe: { tcpSocket: { port: 80 }, ${startup} periodSeconds: 5, failureThreshold: 4 }`);
    expect(app?.annotations).toContainEqual({ name: 'wherry/probe-start-period', value: seconds });
  });

  it('has the startup probe if there is no other', () => {
    const probe = 'startupProbe: { tcpSocket: { port: 80 }, periodSeconds: 5, failureThreshold: 4 }';
    expect(container(probe)?.annotations).toEqual(
      expect.arrayContaining([
        { name: 'wherry/probe-tcp', value: '80' },
        { name: 'wherry/probe-start-period', value: '20' },
      ]),
    );
  });

  it('[C270] is refused without a program, and with a volume that is mounted twice', () => {
    const withImage = (fields: string) =>
      refused(
        `{ apiVersion: v1, kind: Pod, spec: { volumes: [{ name: v, emptyDir: {} }], containers: [{ name: web, ${fields} }] } }`,
      );
    expect(withImage('image: bare.aci')).toContain(
      'command: is required, because the image has no program to run',
    );
    expect(withImage('image: bare.aci, command: [/x]')).toBe('read');
    expect(
      withImage('image: web.aci, volumeMounts: [{ name: v, mountPath: /a }, { name: v, mountPath: /b }]'),
    ).toContain('volumeMounts[1].name: the volume is mounted twice in this container');
  });

  it('is in the network of the host or of the device if it names one', () => {
    const spec = 'containers: [{ name: web, image: web.aci }]';
    const host = read(`{ apiVersion: v1, kind: Pod, spec: { hostNetwork: true, ${spec} } }`);
    expect(host.annotations).toEqual([{ name: 'wherry/network', value: 'host' }]);
    const lan = read(
      `{ apiVersion: v1, kind: Pod, metadata: { annotations: { wherry/network: lan } }, spec: { ${spec} } }`,
    );
    expect(lan.annotations).toEqual([{ name: 'wherry/network', value: 'lan' }]);
  });

  it('[C270] is refused with all fields that have no meaning on a device', () => {
    const message = refused(`
apiVersion: v1
kind: Pod
metadata: { ownerReferences: [] }
spec:
  nodeSelector: { disk: ssd }
  serviceAccountName: builder
  volumes:
  - { name: cfg, configMap: { name: x } }
  - { name: fast, emptyDir: { medium: Memory } }
  containers:
  - name: web
    image: web.aci
    envFrom: [{ secretRef: { name: x } }]
    env: [{ name: A, valueFrom: { fieldRef: { fieldPath: x } } }]
    lifecycle: {}
    livenessProbe: { tcpSocket: { port: 1 } }
    readinessProbe: { grpc: { port: 1 } }
    resources: { limits: { nvidia.com/gpu: 1 } }
    securityContext: { privileged: true }
    volumeMounts: [{ name: nowhere, mountPath: /x, subPath: y }]
`);
    for (const path of [
      ...['metadata.ownerReferences', 'spec.nodeSelector', 'spec.serviceAccountName'],
      ...['spec.volumes[0].configMap', 'spec.volumes[1].emptyDir.sizeLimit', 'spec.containers[0].envFrom'],
      ...[
        'spec.containers[0].env[0].valueFrom',
        'spec.containers[0].lifecycle',
        'spec.containers[0].livenessProbe',
      ],
      ...['spec.containers[0].readinessProbe.grpc', 'spec.containers[0].resources.limits.nvidia.com/gpu'],
      ...['spec.containers[0].securityContext.privileged', 'spec.containers[0].volumeMounts[0].subPath'],
      'spec.containers[0].volumeMounts[0].name',
    ]) {
      expect(message).toContain(path);
    }
  });

  it.each([
    [
      '{ apiVersion: apps/v1, kind: Deployment }',
      'kind "Deployment"; give the template of its pods as a Pod',
    ],
    ['{ apiVersion: v1, kind: Pod }', 'spec: is missing'],
    ['{ apiVersion: v1, kind: Pod, spec: { containers: web } }', 'spec.containers: expected a list'],
    ['{ apiVersion: v1, kind: Pod, spec: [] }', 'spec: expected an object'],
    [
      '{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: Web, image: web.aci }] } }',
      'expected a name',
    ],
    [
      '{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web }] } }',
      'containers[0].image: is missing',
    ],
    [
      '{ apiVersion: v1, kind: Pod, spec: { restartPolicy: Sometimes } }',
      'expected Always, OnFailure, Never',
    ],
    [
      '{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web, image: none.aci }] } }',
      'pod web, container web: no image none.aci was given',
    ],
    [
      '{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web, image: none.aci, lifecycle: {} }], nodeName: a } }',
      'spec.containers[0].lifecycle; spec.nodeName',
    ],
    [
      '{ apiVersion: v1, kind: Pod, metadata: { annotations: { wherry/stop-signal: SIGINT } }, spec: { containers: [{ name: web, image: web.aci }] } }',
      'metadata.annotations.wherry/stop-signal: is not an annotation of a pod',
    ],
    [
      '{ apiVersion: v1, kind: Pod, metadata: { annotations: { wherry/network: lan } }, spec: { hostNetwork: true, containers: [{ name: web, image: web.aci }] } }',
      'spec.hostNetwork: the annotation wherry/network names the network lan',
    ],
    [
      '{ apiVersion: v1, kind: Pod, spec: { hostNetwork: true, containers: [{ name: web, image: web.aci, ports: [{ containerPort: 80, hostPort: 8080 }] }] } }',
      'ports[0].hostPort: expected 80: nothing forwards ports of the host network',
    ],
    [
      '{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web, image: web.aci, securityContext: { runAsNonRoot: true } }] } }',
      'the user is "www"; give a number other than 0 with runAsUser',
    ],
    ...[
      ['readinessProbe: {}', 'readinessProbe: expected one of httpGet, tcpSocket and exec'],
      [
        'readinessProbe: { exec: { command: [x] }, tcpSocket: { port: 1 } }',
        'readinessProbe: expected one of httpGet, tcpSocket and exec',
      ],
      ['readinessProbe: { exec: { command: [] } }', 'readinessProbe.exec.command: is missing'],
      ['readinessProbe: { tcpSocket: { port: "1x" } }', 'tcpSocket.port: expected a port'],
      ['tty: true', 'containers[0].tty: expected false'],
      ['ports: [{ containerPort: -1 }]', 'ports[0].containerPort: expected a whole number'],
      ['readinessProbe: { tcpSocket: { port: 65536 } }', 'tcpSocket.port: expected a port'],
      [
        'readinessProbe: { httpGet: { port: 80, scheme: HTTPS } }',
        'readinessProbe.httpGet.scheme: expected "HTTP"',
      ],
      [
        'readinessProbe: { tcpSocket: { port: 1 } }, startupProbe: { tcpSocket: { port: 2 } }',
        'startupProbe: has another action than readinessProbe',
      ],
      [
        'securityContext: { seccompProfile: { type: Localhost } }',
        'seccompProfile.type: expected RuntimeDefault or Unconfined',
      ],
      ['securityContext: { privileged: true }', 'no app has all rights on a device; add single capabilities'],
      ['securityContext: { privileged: maybe }', 'securityContext.privileged: expected true or false'],
      [
        'securityContext: { capabilities: { add: [ALL] } }',
        'capabilities.add: an app cannot get ALL; name the capabilities',
      ],
    ].map(([field, words]) => [
      `{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web, image: web.aci, ${field} }] } }`,
      words,
    ]),
    ...[
      ['emptyDir: { medium: Memory }', 'emptyDir.sizeLimit: is missing; memory has a size, such as 64Mi'],
      [
        'emptyDir: { sizeLimit: 1Gi }',
        'emptyDir.sizeLimit: an emptyDir on the disk has no limit; leave it out, or use the medium Memory',
      ],
      ['emptyDir: { medium: HugePages }', 'emptyDir.medium: expected Memory or none'],
      ['hostPath: { path: /x, type: FileOrCreate }', 'type: expected "" or "Directory" or "File"'],
    ].map(([source, words]) => [
      `{ apiVersion: v1, kind: Pod, spec: { containers: [{ name: web, image: web.aci }], volumes: [{ name: v, ${source} }] } }`,
      words,
    ]),
    [
      '{ apiVersion: v1, kind: Pod, spec: { initContainers: [{ name: log, image: web.aci, restartPolicy: Always, startupProbe: {} }] } }',
      'startupProbe: no container waits for a probe of another',
    ],
  ])('[C270] is refused with what is wrong: %s', (yaml = '', words = '') => {
    expect(refused(yaml)).toContain(words);
  });

  it('is distinguished from a pod manifest by its apiVersion', () => {
    expect(isKubernetes(load('apiVersion: v1'))).toBe(true);
    expect(isKubernetes({ acKind: 'PodManifest' })).toBe(false);
    expect(isKubernetes('text')).toBe(false);
  });
});
