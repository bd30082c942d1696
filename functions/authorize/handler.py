"""a bearer token -> who calls, for the API of one audience"""

from bourse.aws.authorizer import token_authorizer

handler = token_authorizer()
