"""every minute -> [outbox] -> what an API command said and could not send itself"""

from bourse.aws.outbox import outbox_relay
from bourse.aws.postgres import Database

handler = outbox_relay(Database.from_env)
