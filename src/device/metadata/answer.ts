import type { PodMetadata } from './document.ts';
import { isSignature, podOfToken, signContent } from './token.ts';

export interface MetadataRequest {
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly target: string;
  /** Fields of a form, for POST. */
  readonly form: () => Promise<URLSearchParams>;
}

export interface MetadataAnswer {
  readonly status: number;
  readonly type: typeof json | typeof text;
  readonly body: string | Uint8Array;
}

export interface MetadataSources {
  readonly key: Uint8Array;
  /** The metadata of a pod; undefined when it is no longer on this device. */
  readonly pod: (uuid: string) => Promise<PodMetadata | undefined>;
  /** The image manifest in an object; undefined while the object is not mounted. */
  readonly imageManifest: (object: string) => Promise<Uint8Array | undefined>;
}

const json = 'application/json';
const text = 'text/plain; charset=us-ascii';

/**
 * Answers one request (ace.md#app-container-metadata-service). Unknown tokens get 401, as in rkt,
 * so that an app can distinguish a wrong token from a wrong path.
 */
export async function answerMetadata(
  request: MetadataRequest,
  sources: MetadataSources,
): Promise<MetadataAnswer> {
  const [empty, token = '', service, version, ...path] = (request.target.split('?')[0] ?? '').split('/');
  if (empty !== '') return failed(400, 'the path does not begin with /');
  const uuid = podOfToken(sources.key, token);
  const pod = uuid === undefined ? undefined : await sources.pod(uuid);
  if (uuid === undefined || pod === undefined) return failed(401, 'no pod of this device has this token');
  if (service !== 'acMetadata' || version !== 'v1') return failed(404, 'there is only acMetadata/v1');

  const posted = path[0] === 'pod' && path[1] === 'hmac' && path.length === 3;
  if (posted) {
    if (request.method !== 'POST') return failed(405, 'this path takes POST');
    return answerForm(path[2] ?? '', await request.form(), uuid, sources.key);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return failed(405, 'this path takes GET');
  switch (path.join('/')) {
    case 'pod/annotations':
      return found(json, JSON.stringify(pod.annotations));
    case 'pod/manifest':
      return found(json, pod.manifest);
    case 'pod/uuid':
      return found(text, uuid);
  }
  const [apps, name = '', ...what] = path;
  if (apps !== 'apps') return failed(404, 'there is nothing at this path');
  const app = Object.hasOwn(pod.apps, name) ? pod.apps[name] : undefined;
  if (app === undefined) return failed(404, 'the pod has no app of this name');
  switch (what.join('/')) {
    case 'annotations':
      return found(json, JSON.stringify(app.annotations));
    case 'image/id':
      return found(text, app.imageId);
    case 'image/manifest': {
      const manifest = await sources.imageManifest(app.object);
      return manifest === undefined ? failed(503, 'the image is not mounted') : found(json, manifest);
    }
    default:
      return failed(404, 'there is nothing at this path');
  }
}

function answerForm(act: string, form: URLSearchParams, uuid: string, key: Uint8Array): MetadataAnswer {
  const content = form.get('content');
  if (content === null) return failed(400, 'the form has no field content');
  if (act === 'sign') return found(text, signContent(key, uuid, content));
  if (act !== 'verify') return failed(404, 'there is nothing at this path');
  const [signer, signature] = [form.get('uuid'), form.get('signature')];
  if (signer === null || signature === null) {
    return failed(400, 'the form has no field uuid or no field signature');
  }
  const valid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(signer);
  return valid && isSignature(key, signer, content, signature)
    ? found(text, '')
    : failed(403, 'the pod has not signed this content');
}

function found(type: MetadataAnswer['type'], body: MetadataAnswer['body']): MetadataAnswer {
  return { status: 200, type, body };
}

function failed(status: number, why: string): MetadataAnswer {
  return { status, type: text, body: why };
}
