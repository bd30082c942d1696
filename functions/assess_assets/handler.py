"""AssetsVersioned -> [forecaster, classifier, versions, terms] -> SellOffersPlaced | OffersWithdrawn"""

from bourse.assessment.assess_assets import assess_assets
from bourse.assessment.aurora import AuroraTerms
from bourse.assessment.dynamodb import DynamoAssessments
from bourse.assessment.http import classifier_from_env, forecaster_from_env
from bourse.assets.events import AssetsVersioned
from bourse.aws.worker import queue_worker

handler = queue_worker(
    {AssetsVersioned: assess_assets},
    forecaster=forecaster_from_env,
    classifier=classifier_from_env,
    assessments=DynamoAssessments.from_env,
    terms=AuroraTerms.from_env,
)
