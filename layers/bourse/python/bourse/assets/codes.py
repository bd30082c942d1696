"""Every code an originator can meet, with the sentence that explains it: the tables in functions/originator_api/README.md are this."""

from typing import Final

RECORD_CODES: Final = {
    "RECORD_TOO_LARGE": "The record has more than 64 KiB, or more than 256 KiB in canonical form; it was skipped.",
    "BAD_BSON": "The record's inner lengths, terminators or values are not BSON.",
    "BAD_TEXT": "A name or a text is not valid UTF-8.",
    "NUL_IN_TEXT": "A text contains the character NUL.",
    "BAD_NAME": "A field name is not 1 to 64 ASCII letters, digits, `_` or `-`, starting with a letter or a single `_`.",
    "DUPLICATE_KEY": "A field name stands twice in one document.",
    "BAD_ARRAY": "The elements of an array are not numbered 0, 1, 2, ...",
    "TYPE_FORBIDDEN": "The BSON type is not taken (code, regular expression, symbol, undefined, DBPointer, DBRef, timestamp, min or max key).",
    "TOO_DEEP": "Documents are nested more than 8 deep.",
    "TOO_MANY_FIELDS": "A document has more than 200 fields, or an array more than 1,000 elements.",
    "FIELD_MISSING": "A required field is missing or null.",
    "FIELD_TWICE": "A field is given both as a decimal and in minor units (`principal` and `principal_minor`).",
    "WRONG_TYPE": "The field has a BSON type that does not fit it.",
    "LOAN_ID_INVALID": "`loan_id` is not 1 to 64 letters, digits or `. _ : / -`, starting with a letter or a digit.",
    "FOREIGN_RECORD": "`originator_id` names another originator than the one who uploads.",
    "STATUS_UNKNOWN": "`status` is not one of `active`, `repaid`, `withdrawn`, `defaulted`.",
    "CURRENCY_UNKNOWN": "`currency` is not an ISO 4217 code in capitals.",
    "COUNTRY_INVALID": "`country` is not an ISO 3166 code of two capitals.",
    "MONEY_DOUBLE": "A double in a money field whose shortest decimal form has more decimals than the currency.",
    "MONEY_INTEGER": "An integer in a money field that does not end in `_minor`: it does not say whether it counts whole or minor units.",
    "MONEY_TEXT": "The text in a money field is not a plain decimal number such as `1250.00`.",
    "MONEY_PRECISION": "The amount has more decimals than the currency.",
    "MONEY_RANGE": "The amount is above 10^15 minor units, or a principal is zero.",
    "MONEY_NEGATIVE": "The amount is below zero.",
    "NOT_FINITE": "A number is NaN, infinite, or a Decimal128 in no canonical form.",
    "NUMBER_INVALID": "The text in a number field is not a plain decimal number such as `12.99`.",
    "NUMBER_RANGE": "The number is outside the bounds of its field.",
    "DATE_INVALID": "The text is not a date such as `2026-01-31`, or not a time with its offset such as `2026-01-31T08:15:00Z`.",
    "DATE_RANGE": "The date is outside the years 1900 to 2200, or `updated_at` is more than two days later than the file.",
    "DATE_WITH_TIME": "A BSON date in a day's field is not midnight UTC, so it may mean another day where you are.",
    "TEXT_TOO_LONG": "The text is longer than its field takes.",
    "URL_INVALID": "`callback_url` is not an https address of at most 500 characters.",
    "SCHEDULE_TOO_LONG": "The schedule has more than 600 rows.",
    "DUPLICATE_LOAN": "An earlier record of the same file describes the same loan differently; the earlier one counts.",
}
"""Why one record was refused. The records before and after it are read."""

FILE_CODES: Final = {
    "EMPTY_FILE": "The file has no bytes, or is compressed and holds none.",
    "NOT_BSON": "The file does not begin like BSON: it is JSON, CSV, an archive, or gzip under a key that does not end in `.gz`.",
    "BAD_FRAME": "At this offset a record should begin, but its length is impossible (below 5, negative, or above 16 MiB).",
    "TRUNCATED": "The file ends inside the record that begins at this offset.",
    "BAD_GZIP": "The compressed file is damaged at this offset of the inflated bytes, is not gzip, or has over 10,000 members of under 128 bytes on average.",
    "GZIP_BOMB": "The compressed file inflates to more than 200 times its size, or to more than 20 GiB.",
    "TOO_MANY_RECORDS": "The file has more than 5,000,000 records: send it in parts.",
    "SIZE_EXCEEDED": "The object is larger than 5 GB.",
    "SIZE_DIFFERS": "The object has another size than was declared for the slot; nothing of it was read.",
    "CHECKSUM_DIFFERS": "The object has another SHA-256 than was declared for the slot; nothing of it was read.",
    "OBJECT_CHANGED": "The object that arrived was replaced or removed before it was read to its end.",
}
"""Why reading a file ended early (`failure`). Records before the offset are kept and counted."""

NOTES: Final = {
    "ARRIVED_LATE": "The object arrived after the slot had expired or was cancelled; it was kept but not read. Ask for a new slot.",
    "OVERWRITTEN": "A second object was written under the same key; it was not read. The first one counts.",
    "RECORDS_DIFFER": "The file holds another number of records than was declared for the slot.",
}
"""What else is worth knowing about an upload (`notes`); none of them changes what was read."""
