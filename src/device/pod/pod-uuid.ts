export { podUuid } from '../../wire/trust/index.ts';
