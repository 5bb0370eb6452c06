"""What can be done with documents in a datastore. No socket, no terminal.

The agent's API and the command line on a datastore file both come in here, so a document means the same in both. What
a verb does is in `writing`, `deleting` and `reading`, each loaded when it is needed: a get pays for no write.
"""

from collections.abc import Sequence

from tortie.apps.answers import GetAnswer, SourceText, WriteAnswer
from tortie.apps.kinds import find_kind
from tortie.apps.namespaces import namespace_asked
from tortie.apps.requests import GetQuery, Verb, WriteOptions
from tortie.store.protocol import Store


async def write(
    store: Store, verb: Verb, files: Sequence[SourceText], options: WriteOptions | None = None
) -> WriteAnswer:
    """Do this with all documents of these files, in one transaction. Raises: Failure; StoreError."""
    from tortie.apps.decoding import decode_files
    from tortie.apps.verbs import deleting, writing

    options = options or WriteOptions()
    resources = decode_files(files, needs_documents=not options.skip_empty, namespace=options.namespace)
    if verb is Verb.DELETE:
        return await deleting.delete(store, deleting.wanted_by_document(resources), options)
    return await writing.write(store, verb, resources, options)


async def delete_named(
    store: Store, word: str, names: Sequence[str], options: WriteOptions | None = None
) -> WriteAnswer:
    """Remove the resources of these names, all or none. Raises: Failure; StoreError."""
    from tortie.apps.verbs import deleting

    options, kind = options or WriteOptions(), find_kind(word)
    namespace = namespace_asked(kind, options.namespace, everywhere=False, names=names)
    return await deleting.delete(store, deleting.wanted_by_name(kind, namespace or "", names), options)


async def get(store: Store, word: str, query: GetQuery) -> GetAnswer:
    """The resources of the kind that the word names. Raises: Failure; StoreError."""
    from tortie.apps.verbs import reading

    return await reading.get(store, find_kind(word), query)
