"""every minute -> [ledger] -> what was written to the journals of the books is sealed in blocks of a hash chain"""

from bourse.aws.schedule import schedule_worker
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.seal import seal_ledger

handler = schedule_worker(seal_ledger, seals=AuroraSeals.from_env)
